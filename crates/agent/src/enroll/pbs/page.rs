//! The page of the recovery kit: all that is needed to read the backups on a borrowed machine, with stock tools alone.

use felhom_proxmox::pbs::format::Key;
use secrecy::{ExposeSecret, SecretString};

use super::Wanted;
use super::runbook::{host, word};

/// The page. It holds the key and is as secret as that.
///
/// `escrow` says whether a copy of the key goes with each backup.
pub fn page(
    wanted: &Wanted,
    (key, key_text): (&Key, &SecretString),
    escrow: bool,
    made: &str,
) -> SecretString {
    let fingerprint = key.fingerprint();
    let storage = &wanted.storage;
    let (server, port, store) = (&wanted.server, wanted.port, &wanted.place.store);
    let namespace = &wanted.place.namespace;
    let (shown, ns) = if namespace.is_root() {
        ("(none)".to_owned(), String::new())
    } else {
        (namespace.to_string(), format!(" --ns {namespace}"))
    };
    let escrow = if escrow {
        "A copy of the key under the master key goes with each backup\n\
         (rsa-encrypted.key): its private half opens it, see\n\
         `proxmox-backup-client key import-with-master-key`.\n"
    } else {
        "No master key was set: this page and the box hold the only copies.\n"
    };
    let pin = wanted.fingerprint.to_string().to_lowercase();
    let pinned = fold(&pin);
    let key_shown = fold(&fingerprint.to_string());
    let writer = wanted.writer.token.to_string();
    let repository = word(&format!("USER@REALM@{}:{port}:{store}", host(wanted)));
    let pvesm = definition(wanted, &pin, &ns);
    SecretString::from(format!(
        "RECOVERY KIT of the backups in `{storage}`: KEEP THIS SECRET\n\
         ===============================================================================\n\
         Made {made}. Whoever has this page can read the backups.\n\
         Without it and without the box nobody can: the server never had the key.\n\
         Print it, keep it off the box, and say so there:\n\
         \x20   felhom-agent pbs kit --storage {storage} --stored-by NAME\n\
         {escrow}\n\
         Backup server   {server}, port {port}\n\
         Certificate     {pinned}\n\
         Datastore       {store}\n\
         Namespace       {shown}\n\
         Written by      {writer}\n\
         Key             {key_shown}\n\n\
         The key (the file key.json, from the first brace to the last):\n\n{}\n\n\
         ON ANY LINUX with proxmox-backup-client, as a user of the backup server who may\n\
         read the datastore (its admin can make one; the password is asked for):\n\n\
         \x20   export PBS_REPOSITORY={repository}\n\
         \x20   export PBS_FINGERPRINT={pin}\n\
         \x20   proxmox-backup-client snapshot list{ns}\n\
         \x20   proxmox-backup-client restore ct/VMID/TIME root.pxar DIRECTORY \\\n\
         \x20     --keyfile key.json{ns}\n\
         \x20   proxmox-backup-client restore vm/VMID/TIME drive-scsi0.img FILE \\\n\
         \x20     --keyfile key.json{ns}\n\n\
         ON A NEW PROXMOX VE (a new secret for the token: the admin of the server):\n\n\
         \x20   {pvesm}\n\
         \x20   pvesm list {storage}\n\
         \x20   pct restore VMID {storage}:backup/ct/VMID/TIME --storage local-lvm\n\
         \x20   qmrestore {storage}:backup/vm/VMID/TIME VMID --storage local-lvm\n",
        key_text.expose_secret().trim_end()
    ))
}

/// The command that defines the storage on another node.
fn definition(wanted: &Wanted, pin: &str, ns: &str) -> String {
    let (storage, store) = (&wanted.storage, &wanted.place.store);
    let (server, port) = (&wanted.server, wanted.port);
    let writer = wanted.writer.token.to_string();
    let namespace = ns.replacen("--ns", "--namespace", 1);
    format!(
        "pvesm add pbs {storage} --server {server} --port {port} \\\n      --datastore {store}{namespace} --content backup \\\n      \
         --prune-backups keep-all=1 \\\n      --username {} --password \\\n      --encryption-key key.json --fingerprint \\\n      {pin}",
        word(&writer),
    )
}

/// A fingerprint in two lines of a column.
fn fold(fingerprint: &str) -> String {
    match fingerprint.split_at_checked(48) {
        Some((first, second)) => format!("{first}\n                {second}"),
        None => fingerprint.to_owned(),
    }
}

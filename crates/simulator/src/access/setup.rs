//! Making principals from inside: what a scenario, a test or a handler writes into `user.cfg`.

use crate::access::acl_path::normalized;
use crate::access::{Privileges, Subject, Token, random_uuid};
use crate::world::World;

/// The role of the everyday principal, as it was measured on a real node: wider than what enrolling grants.
const AGENT: [&str; 16] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
    "VM.Backup",
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "Sys.Audit",
    "SDN.Use",
];
/// What a guest that backs itself up was given.
const SELF_BACKUP: [&str; 5] = [
    "VM.Audit",
    "VM.Snapshot",
    "VM.Backup",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
];
/// On the scratch pool: enough to restore, boot, look at and remove a scratch guest, and nothing else.
const RESTORE_TEST: [&str; 10] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "VM.GuestAgent.Audit",
    "Pool.Audit",
];

impl World {
    /// Adds a user, enabled and without a password; an existing one stays as it is.
    pub(crate) fn add_user(&mut self, id: &str) {
        self.access.users.entry(id.to_owned()).or_default();
    }

    /// Adds a token to an existing user and answers its secret.
    pub(crate) fn add_token(&mut self, user: &str, token: &str, privsep: bool) -> String {
        let secret = random_uuid();
        let entry = Token {
            secret: secret.clone(),
            privsep,
            ..Token::default()
        };
        if let Some(user) = self.access.users.get_mut(user) {
            user.tokens.insert(token.to_owned(), entry);
        }
        secret
    }

    /// Adds or replaces a role; privileges that do not exist are left out.
    pub(crate) fn add_role(&mut self, id: &str, privileges: &[&str]) {
        let known = privileges.iter().filter_map(|name| Privileges::named(name));
        let set = known.fold(Privileges::NONE, Privileges::union);
        self.access.roles.insert(id.to_owned(), set);
    }

    /// Adds an ACL entry.
    pub(crate) fn grant(
        &mut self,
        path: &str,
        kind: Subject,
        id: &str,
        role: &str,
        propagate: bool,
    ) {
        let path = normalized(path).unwrap_or_else(|| "/".to_owned());
        let entry = self.access.acl.entry(path).or_default().of_mut(kind);
        entry
            .entry(id.to_owned())
            .or_default()
            .insert(role.to_owned(), propagate);
    }

    /// Adds the same ACL entry for a token and for its user, without which a separated token has nothing.
    pub(crate) fn grant_both(&mut self, path: &str, token: &str, role: &str) {
        let owner = token
            .split_once('!')
            .map_or(token, |(user, _)| user)
            .to_owned();
        self.grant(path, Subject::User, &owner, role, true);
        self.grant(path, Subject::Token, token, role, true);
    }

    /// The principals of the demonstration: everyday agent, confined restore test, a guest's own token, root's token.
    /// `sources` are the guests whose archives the restore test may read, the first of them the one that may back
    /// itself up; `storages` are archive and target storages.
    pub(crate) fn add_demo_principals(
        &mut self,
        sources: &[u32],
        storages: &[&str],
        pool: &str,
        bridge: &str,
    ) {
        for (user, token) in [
            ("felhom-agent@pve", "agent"),
            ("felhom-test@pve", "restore-test"),
            ("felhom-ctl@pve", "ctl"),
        ] {
            self.add_user(user);
            self.add_token(user, token, true);
        }
        self.add_token("root@pam", "root", false);
        self.add_role("FelhomAgent", &AGENT);
        self.add_role("FelhomSelfBackup", &SELF_BACKUP);
        self.add_role("FelhomRestoreTest", &RESTORE_TEST);
        self.add_role("FelhomSource", &["VM.Backup"]);
        self.add_role(
            "FelhomTarget",
            &["Datastore.AllocateSpace", "Datastore.Audit"],
        );
        self.add_role("FelhomBridge", &["SDN.Use"]);

        self.grant_both("/", "felhom-agent@pve!agent", "FelhomAgent");
        let test = "felhom-test@pve!restore-test";
        self.grant_both(&format!("/pool/{pool}"), test, "FelhomRestoreTest");
        for vmid in sources {
            self.grant_both(&format!("/vms/{vmid}"), test, "FelhomSource");
        }
        for storage in storages {
            self.grant_both(&format!("/storage/{storage}"), test, "FelhomTarget");
        }
        self.grant_both(
            &format!("/sdn/zones/localnetwork/{bridge}"),
            test,
            "FelhomBridge",
        );
        let own = "felhom-ctl@pve!ctl";
        if let Some(vmid) = sources.first() {
            self.grant_both(&format!("/vms/{vmid}"), own, "FelhomSelfBackup");
        }
        if let Some(storage) = storages.first() {
            self.grant_both(&format!("/storage/{storage}"), own, "FelhomSelfBackup");
        }
    }
}

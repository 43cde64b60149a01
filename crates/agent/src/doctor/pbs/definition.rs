//! The definition of a storage in Proxmox VE against the section of our configuration: is it the same place, and the same key?

use felhom_engine::pbs::Target;
use felhom_engine::{Finding, codes};
use felhom_ids::Fingerprint;
use felhom_proxmox::pve::storage::StorageConfig;

use crate::config::{PbsConfig, TrustConfig};
use crate::observe;

/// What differs, in one finding.
pub(super) fn differs(
    target: &Target,
    section: &PbsConfig,
    all: &[StorageConfig],
) -> Option<Finding> {
    let id = &target.storage;
    let finding = |detail: String, hint: String| {
        let subject = format!("storage {id}");
        Finding::new(codes::PBS_STORAGE_DIFFERS, subject, detail).hint(hint)
    };
    let Some(defined) = all.iter().find(|one| one.storage == *id) else {
        let detail = "the node defines no storage of this name, or the token does not see it";
        let hint = format!(
            "pvesm config {id}; when it is not there: felhom-agent enroll pbs; when it is: `Datastore.Audit` on /storage/{id}"
        );
        return Some(finding(detail.to_owned(), hint));
    };
    let reasons = reasons(target, section, defined);
    if reasons.is_empty() {
        return None;
    }
    let hint = format!(
        "compare `pvesm config {id}` with [pbs.{id}] of the configuration, and mend the one that is wrong; never remove a \
         storage that has a key: its key goes with it"
    );
    Some(finding(reasons.join("; "), hint))
}

fn reasons(target: &Target, section: &PbsConfig, defined: &StorageConfig) -> Vec<String> {
    if defined.kind != "pbs" {
        return vec![format!("it is of type `{}`, and not `pbs`", defined.kind)];
    }
    let mut reasons = Vec::new();
    let mut hold = |what: &str, is: String, should: String| {
        if is != should {
            reasons.push(format!("its {what} is `{is}`, and ours `{should}`"));
        }
    };
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    hold(
        "datastore",
        given(&defined.datastore),
        target.datastore.to_string(),
    );
    hold(
        "namespace",
        given(&defined.namespace),
        target.namespace.to_string(),
    );
    if let (Some(is), Some(should)) = (&defined.username, &section.owner) {
        hold("user", is.clone(), should.to_string());
    }
    reasons.extend(certificate(section, defined));
    reasons.extend(key(section, defined));
    reasons
}

/// One server may have several names, but shows one certificate.
fn certificate(section: &PbsConfig, defined: &StorageConfig) -> Option<String> {
    let TrustConfig::Fingerprint(ours) = section.trust else {
        return None;
    };
    let theirs: Fingerprint = defined.fingerprint.as_deref()?.parse().ok()?;
    (theirs != ours).then(|| format!("its pinned certificate is {theirs}, and ours {ours}"))
}

fn key(section: &PbsConfig, defined: &StorageConfig) -> Option<String> {
    let has_one = defined.encryption_key.is_some();
    match (observe::key_of(defined), section.key) {
        (Some(is), Some(should)) if is != should => Some(format!(
            "its key is {}, and ours {}",
            is.short(),
            should.short()
        )),
        _ if section.encrypted && !has_one => {
            Some("it has no key, so what is backed up now is not encrypted".to_owned())
        }
        _ if !section.encrypted && has_one => {
            Some("it has a key, and ours says `encrypted = false`".to_owned())
        }
        _ => None,
    }
}

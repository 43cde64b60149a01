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
            "pvesm config {id}; when it is not there: the same `felhom-agent enroll pbs …` as at first; when it is: `Datastore.Audit` on /storage/{id}"
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PIN: &str = "3b:95:66:51:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb";
    const KEY: &str = "bb:8f:66:51:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb";

    fn told(more: &Value) -> String {
        let mut defined = json!({
            "storage": "offsite", "type": "pbs", "content": "backup", "server": "10.0.0.2", "datastore": "store",
            "namespace": "site", "username": "felhom@pbs!storage", "fingerprint": PIN, "encryption-key": KEY,
        });
        let (all, more) = (defined.as_object_mut().unwrap(), more.as_object().unwrap());
        all.extend(more.clone());
        all.retain(|_, value| !value.is_null());
        let defined: StorageConfig = serde_json::from_value(defined).unwrap();
        let text = format!(
            "node = \"pve\"\npve = {{ url = \"https://127.0.0.1:8006\", insecure = true }}\n\
             [principals.agent]\ntoken = \"agent@pve!agent\"\nsecret_file = \"secret\"\n\
             [pbs.offsite]\nurl = \"https://backup.example\"\nfingerprint = \"{PIN}\"\ndatastore = \"store\"\n\
             namespace = \"site\"\ntoken = \"felhom@pbs!agent\"\nsecret_file = \"secret\"\n\
             owner = \"felhom@pbs!storage\"\nkey_fingerprint = \"{KEY}\"\n"
        );
        let config = crate::config::parse(std::path::Path::new("/agent.toml"), &text).unwrap();
        let (storage, section) = config.pbs.iter().next().unwrap();
        let target = observe::target(storage, section);
        differs(&target, section, &[defined]).map_or_else(String::new, |one| one.detail)
    }

    #[test]
    fn the_same_place_under_another_name_is_the_same() {
        assert_eq!(told(&json!({})), "");
        assert_eq!(told(&json!({ "server": "other.example" })), "");
    }

    #[test]
    fn each_difference_is_told() {
        let other = PIN.replace("3b", "3c");
        for (more, expected) in [
            (json!({ "type": "dir" }), "it is of type `dir`"),
            (json!({ "datastore": "other" }), "its datastore is `other`"),
            (json!({ "namespace": null }), "its namespace is ``"),
            (json!({ "username": "root@pam" }), "its user is `root@pam`"),
            (json!({ "fingerprint": other }), "its pinned certificate is"),
            (json!({ "encryption-key": null }), "it has no key"),
            (
                json!({ "encryption-key": KEY.replace("bb:8f", "bb:8e") }),
                "its key is bb:8e",
            ),
            (json!({ "storage": "another" }), "no storage of this name"),
        ] {
            let told = told(&more);
            assert!(told.contains(expected), "{more}: {told}");
        }
    }
}

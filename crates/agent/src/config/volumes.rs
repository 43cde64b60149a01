//! `[volumes]`: what Docker volumes should be, and what protects those that no backup holds.

use felhom_engine::volumes::{AcceptedLoss, Cover, VolumeClass, VolumePolicy, VolumeRule};
use felhom_ids::{ByteSize, Vmid};
use serde_json::{Value, json};

use super::problems::Problems;
use super::raw::{RawVolumeRule, RawVolumes};

pub(super) fn volumes(raw: Option<&RawVolumes>, problems: &mut Problems) -> Option<VolumePolicy> {
    let mut policy = VolumePolicy::default();
    let Some(raw) = raw else {
        return Some(policy);
    };
    if let Some(gib) = raw.bulk_hint_gib {
        let mebibytes = gib.saturating_mul(1024);
        policy.bulk_hint =
            ByteSize::from_bytes(problems.bytes("volumes.bulk_hint_gib", mebibytes)?);
    }
    let rules = raw.rules.iter().enumerate();
    let checked: Vec<Option<VolumeRule>> = rules
        .map(|(index, raw)| rule(&format!("volumes.rules[{index}]"), raw, problems))
        .collect();
    policy.rules = checked.into_iter().collect::<Option<_>>()?;
    Some(policy)
}

fn rule(key: &str, raw: &RawVolumeRule, problems: &mut Problems) -> Option<VolumeRule> {
    let patterns = [&raw.name, &raw.image, &raw.path];
    let given = patterns.iter().filter_map(|pattern| pattern.as_deref());
    let usable = problems.require(
        given.clone().count() > 0 && given.clone().all(|pattern| !pattern.is_empty()),
        &format!(
            "{key}: at least one of `name`, `image` and `path` is needed, and none may be empty"
        ),
        (),
    );
    let class: Option<VolumeClass> = problems.parse(&format!("{key}.class"), &raw.class);
    let vmid = match raw.vmid.map(Vmid::new) {
        None => Some(None),
        Some(Ok(vmid)) => Some(Some(vmid)),
        Some(Err(error)) => {
            problems.0.push(format!("{key}.vmid: {error}"));
            None
        }
    };
    let cover = cover(key, raw, problems);
    let (class, vmid, cover) = (class?, vmid?, cover.ok()?);
    usable?;
    problems.require(
        cover.is_none() || class == VolumeClass::Bulk,
        &format!("{key}: `protected_by` and `accepted_loss` are for bulk volumes; the guest's backup protects hot ones"),
        (),
    )?;
    Some(VolumeRule {
        vmid,
        name: raw.name.clone(),
        image: raw.image.clone(),
        path: raw.path.clone(),
        class,
        cover,
    })
}

/// What is wrong was added to the problems.
struct Told;

fn cover(key: &str, raw: &RawVolumeRule, problems: &mut Problems) -> Result<Option<Cover>, Told> {
    match (&raw.protected_by, &raw.accepted_loss) {
        (None, None) => Ok(None),
        (Some(what), None) => {
            let problem = format!("{key}.protected_by: say what protects it");
            let cover = Cover::ProtectedBy(what.clone());
            let cover = problems.require(!what.trim().is_empty(), &problem, cover);
            cover.map(Some).ok_or(Told)
        }
        (None, Some(loss)) => {
            let problem = format!("{key}.accepted_loss.by: say who accepts the loss");
            let by = problems.require(!loss.by.trim().is_empty(), &problem, loss.by.clone());
            let on: Option<jiff::civil::Date> =
                problems.parse(&format!("{key}.accepted_loss.on"), &loss.on);
            let (by, on) = by.zip(on).ok_or(Told)?;
            let on = on.to_string();
            Ok(Some(Cover::AcceptedLoss(AcceptedLoss { by, on })))
        }
        (Some(_), Some(_)) => {
            let problem = "either `protected_by` or `accepted_loss`, not both";
            problems.0.push(format!("{key}: {problem}"));
            Err(Told)
        }
    }
}

/// The policy by the keys of the file.
pub(super) fn shown(policy: &VolumePolicy) -> Value {
    let rules: Vec<Value> = policy.rules.iter().map(shown_rule).collect();
    json!({ "bulk_hint_gib": policy.bulk_hint.bytes() >> 30, "rules": rules })
}

fn shown_rule(rule: &VolumeRule) -> Value {
    let mut shown = serde_json::Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            shown.insert(key.to_owned(), value);
        }
    };
    put("vmid", rule.vmid.map(|vmid| json!(vmid)));
    put("name", rule.name.as_ref().map(|name| json!(name)));
    put("image", rule.image.as_ref().map(|image| json!(image)));
    put("path", rule.path.as_ref().map(|path| json!(path)));
    put("class", Some(json!(rule.class)));
    match &rule.cover {
        None => {}
        Some(Cover::ProtectedBy(what)) => put("protected_by", Some(json!(what))),
        Some(Cover::AcceptedLoss(loss)) => {
            put(
                "accepted_loss",
                Some(json!({ "by": loss.by, "on": loss.on })),
            );
        }
    }
    Value::Object(shown)
}

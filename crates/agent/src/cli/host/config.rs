//! The root helper's configuration that fits ours. Only root writes it: what it allows is not for us to say.

use felhom_host::VmidRange;
use felhom_ids::{TokenId, Vmid};
use serde_json::json;

use crate::cli::context::Context;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::privilege;

/// Where the golden containers go when nothing else lies there.
const GOLDEN: u32 = 9900;
/// How many there may be.
const GOLDEN_COUNT: u32 = 10;

pub(super) fn print(context: &Context) -> Result<Exit, Failure> {
    let config = context.config()?;
    let text = text(&config);
    let data = json!({ "path": "/etc/felhom/hostd.toml", "text": text });
    context
        .printer
        .document("felhom.host-config", &data, || text.clone());
    context.printer.narrate(
        "root writes it, after a look at it and at the one that is there: \
         felhom-agent host config > hostd.toml; install -m 0644 -o root -g root hostd.toml /etc/felhom/hostd.toml",
    );
    Ok(Exit::Done)
}

/// The range of scratch guests that ours names.
pub(in crate::cli) fn scratch(config: &Config) -> VmidRange {
    let policy = &config.restore_test_policy;
    VmidRange {
        first: policy.first_vmid,
        last: policy.last_vmid,
    }
}

/// The token whose tasks leave what has to be released.
pub(in crate::cli) fn token(config: &Config) -> &TokenId {
    &config.restore_test.token
}

fn text(config: &Config) -> String {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut lines = vec![
        "# /etc/felhom/hostd.toml: what root does for felhom-agent. Guests that are not named here are refused."
            .to_owned(),
        "# It belongs to root and nobody else may write it: chown root:root, chmod 0644."
            .to_owned(),
        format!("user = {}", quote(privilege::USER)),
    ];
    if config.restore_tests {
        lines.extend([
            String::new(),
            "# Scratch guests of restore tests: those that may be released and stripped."
                .to_owned(),
            "[scratch]".to_owned(),
            format!("vmids = {}", quote(&scratch(config).to_string())),
            format!("tokens = [{}]", quote(&token(config).to_string())),
            format!("pool = {}", quote(config.restore_test_policy.pool.as_ref())),
        ]);
    }
    let golden = golden(config);
    lines.extend([
        String::new(),
        "# For golden containers take the signs away from the lines below, and look at what they name:".to_owned(),
        "# no guest may have those VMIDs, and the agent's token must see them (a pool, or /vms).".to_owned(),
        "#[golden]".to_owned(),
        format!("#vmids = {}", quote(&golden.to_string())),
        "#templates = [\"local\"]".to_owned(),
        format!("#storage = {}", quote(config.restore_test_policy.target.as_ref())),
        "#bridge = \"vmbr0\"    # without it neither the container nor what is made from it has a network".to_owned(),
        "#pool = \"POOL\"       # the pool through which the agent's token may back it up".to_owned(),
        String::new(),
        "# Targets on removable disks.".to_owned(),
        "[usb]".to_owned(),
        "mount_dir = \"/mnt/felhom\"".to_owned(),
        "transports = [\"usb\"]".to_owned(),
    ]);
    lines.join("\n")
}

/// A range beside that of the scratch guests.
fn golden(config: &Config) -> VmidRange {
    let scratch = scratch(config);
    let range = |first: u32| {
        let last = first.saturating_add(GOLDEN_COUNT).saturating_sub(1);
        Some(VmidRange {
            first: Vmid::new(first).ok()?,
            last: Vmid::new(last).ok()?,
        })
    };
    let apart = |one: &VmidRange| one.last < scratch.first || scratch.last < one.first;
    let above = scratch.last.get().saturating_add(1);
    [GOLDEN, above]
        .into_iter()
        .filter_map(range)
        .find(apart)
        .unwrap_or(scratch)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(extra: &str) -> Config {
        let text = format!(
            "node = \"pve\"\npve = {{ url = \"https://127.0.0.1:8006\", insecure = true }}\n\
             [principals.agent]\ntoken = \"agent@pve!agent\"\nsecret_file = \"secret\"\n{extra}"
        );
        crate::config::parse(Path::new("/etc/felhom/agent.toml"), &text).unwrap()
    }

    #[test]
    fn what_is_printed_is_a_configuration_of_the_helper_that_fits() {
        let ours = config("[restore-test]\nfirst_vmid = 9895\nlast_vmid = 9905\n");
        let printed = text(&ours);
        let helper = felhom_host::Config::parse(&printed).unwrap();
        let scratch = helper.scratch.unwrap();
        assert_eq!(scratch.vmids.to_string(), "9895-9905");
        assert_eq!(scratch.tokens, [ours.agent.token]);
        assert_eq!(helper.golden, None);
        // With the signs taken away the golden range lies apart.
        let helper =
            felhom_host::Config::parse(&printed.replace("\n#", "\n").replace("\n ", "\n# "))
                .unwrap();
        assert_eq!(helper.golden.unwrap().vmids.to_string(), "9906-9915");
    }

    #[test]
    fn without_restore_tests_nothing_is_allowed_for_scratch_guests() {
        let helper = felhom_host::Config::parse(&text(&config(""))).unwrap();
        assert_eq!(
            (helper.scratch, helper.user.as_str()),
            (None, "felhom-agent")
        );
    }
}

//! The agent's own configuration, as TOML and as JSON.

use std::path::{Path, PathBuf};

use felhom_agent::config::{Config, ConfigError, TrustConfig, parse};
use felhom_proxmox::Address;

use crate::claims::{harmless, text};

const TOML: &str = "/etc/felhom/agent.toml";
const JSON: &str = "/etc/felhom/agent.json";

/// A configuration is usable or refused with short problems; what is shown of it is the same configuration; both forms
/// mean the same; and what may be a secret in the wrong place is not repeated.
pub fn agent_config(data: &[u8]) {
    let text = text(data);
    if let Some(config) = read(JSON, &text) {
        usable(&config);
    }
    let table = text.parse::<toml::Table>();
    if let Some(config) = read(TOML, &text) {
        usable(&config);
        let table = table.unwrap();
        floors_are_as_written(&config, &table);
        let json = serde_json::to_string(&table).unwrap();
        let from_json = read(JSON, &json).unwrap_or_else(|| panic!("{json}"));
        assert_eq!(at_toml(from_json), config);
        let shown = config.shown().to_string();
        let again = read(JSON, &shown).unwrap_or_else(|| panic!("{shown}"));
        // Defaults are shown as well, so that restore tests look as if they had been set up.
        let again = Config {
            separated: config.separated,
            restore_tests: config.restore_tests,
            ..at_toml(again)
        };
        assert_eq!(again, config);
    }
    keeps_secrets(&text);
}

fn at_toml(config: Config) -> Config {
    Config {
        path: PathBuf::from(TOML),
        ..config
    }
}

/// Reads a configuration; what is wrong is told shortly, with file and line.
fn read(path: &str, text: &str) -> Option<Config> {
    let error = match parse(Path::new(path), text) {
        Ok(config) => return Some(config),
        Err(error) => error,
    };
    let told = error.to_string();
    assert!(told.starts_with(path), "{told}");
    harmless(&told);
    let most = match &error {
        ConfigError::Read { .. } => panic!("nothing is read here"),
        ConfigError::Parse { line, .. } => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(line), "line {line} of {lines}");
            1
        }
        ConfigError::Problems { problems, .. } => {
            assert!(!problems.is_empty());
            problems.len()
        }
    };
    assert!(told.len() <= 100 + 2_500 * most, "{told}");
    None
}

/// Nothing that is found out only later could have been found out now.
fn usable(config: &Config) {
    config.address.parse::<Address>().unwrap();
    let test = &config.restore_test_policy;
    assert!(test.first_vmid <= test.last_vmid);
    assert!(test.stable_for < test.evidence_timeout);
    assert!(!config.backup.settle.is_zero() && !config.request_timeout.is_zero());
    assert!(test.floors.storage_percent <= 90 && test.floors.metadata_percent <= 90);
    assert!(config.keep.at_least > 0);
    assert!(config.separated || config.agent == config.restore_test);
    let mut paths = vec![&config.state_dir, &config.agent.secret_file];
    paths.extend(config.archives.iter().map(|archive| &archive.path));
    if let TrustConfig::CaFile(path) = &config.trust {
        paths.push(path);
    }
    for path in paths {
        assert!(path.is_absolute(), "{}", path.display());
    }
}

/// A floor is what keeps a disk from filling up: none is lower than it was written.
fn floors_are_as_written(config: &Config, table: &toml::Table) {
    let floors = &config.restore_test_policy.floors;
    let written = |path: &[&str]| {
        let mut value = table.get(*path.first()?)?;
        for key in path.get(1..)? {
            value = value.get(key)?;
        }
        value.as_integer().map(i128::from)
    };
    for (bytes, path) in [
        (
            config.backup.storage_floor,
            &["backup", "storage_floor_mib"][..],
        ),
        (floors.root_bytes, &["restore-test", "floors", "root_mib"]),
        (
            floors.memory_bytes,
            &["restore-test", "floors", "memory_mib"],
        ),
    ] {
        if let Some(mebibytes) = written(path) {
            assert_eq!(i128::from(bytes), mebibytes << 20, "{path:?}");
        }
    }
}

/// Where people put a secret that does not belong into the file: what it takes the place of, and what stands around it.
const SLIPS: [(&str, &str, &str); 8] = [
    ("https://pve:8006", "https://root:", "@pve:8006"),
    ("felhom@pve!agent", "felhom@pve!agent=", ""),
    ("felhom@pve!agent", "felhom@pve!agent:", ""),
    ("felhom@pve!agent", "PVEAPIToken=felhom@pve!agent=", ""),
    ("felhom@pve!agent", "", ""),
    ("secret_file = \"s\"", "secret = \"", "\""),
    ("secret_file = \"s\"", "credential = \"", "\""),
    ("insecure = true", "insecure = true\npassword = \"", "\""),
];

/// Such a file is refused without repeating it.
fn keeps_secrets(text: &str) {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let secret: String = text.chars().filter(plain).take(48).collect();
    if secret.len() < 8 {
        return;
    }
    for (good, before, behind) in SLIPS {
        let told = |secret: &str| {
            let slip = GOOD.replace(good, &format!("{before}{secret}{behind}"));
            let error = parse(Path::new(TOML), &slip).unwrap_err();
            format!("{error} {error:?}")
        };
        // A text that stands in every such error is no secret.
        if !told("********").contains(&secret) {
            let told = told(&secret);
            assert!(!told.contains(&secret), "{told}");
        }
    }
}

/// The least that a configuration holds.
const GOOD: &str = r#"node = "pve"
[pve]
url = "https://pve:8006"
insecure = true
[principals.agent]
token = "felhom@pve!agent"
secret_file = "s"
"#;

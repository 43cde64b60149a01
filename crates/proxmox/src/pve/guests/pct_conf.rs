//! The text form of a container's configuration (`pct.conf`), as archives hold it.

use super::LxcConfig;

/// Reads the first section. Lines that are no setting are skipped, as PVE skips them (`parse_pct_config` of pve-container
/// 6.1): among them brackets that are no section's name, behind which the same section goes on.
pub(super) fn parse(text: &str) -> LxcConfig {
    let mut config = LxcConfig::default();
    let mut description = String::new();
    for line in text.split('\n') {
        if let Some(comment) = line.strip_prefix('#') {
            // Blanks at its end are part of it.
            description.push_str(&decoded(comment));
            description.push('\n');
            continue;
        }
        let line = line.trim_end();
        if is_section(line) {
            break;
        }
        if let Some((key, value)) = raw_line(line) {
            config.lxc.push((key.to_owned(), value.to_owned()));
        } else if let Some((key, value)) = setting(line) {
            match key {
                "description" => description.push_str(&decoded(value)),
                // Not of this section, or not of a file.
                "delete" | "snapstate" | "digest" => {}
                _ => {
                    config.raw.insert(key.to_owned(), value.to_owned());
                }
            }
        }
    }
    if !description.is_empty() {
        config.raw.insert("description".to_owned(), description);
    }
    config
}

/// `[pve:pending]`, or a snapshot's name.
fn is_section(line: &str) -> bool {
    let Some(name) = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.eq_ignore_ascii_case("pve:pending")
        || name.len() >= 2
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(plain)
}

/// Control characters, `:` and `%` are percent-encoded in descriptions.
fn decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text);
    decoded.decode_utf8_lossy().into_owned()
}

/// `lxc.key: value`, or the same with `=`. The value may be empty: `lxc.cap.drop =` takes away what stood there before.
fn raw_line(line: &str) -> Option<(&str, &str)> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    let rest = line.strip_prefix("lxc.")?;
    let end = rest.find(|c| !plain(c)).filter(|end| *end > 0)?;
    let (key, rest) = line.split_at_checked("lxc.".len() + end)?;
    let value = rest
        .strip_prefix(':')
        .or_else(|| rest.trim_start().strip_prefix('='))?;
    Some((key, value.trim()))
}

/// `key: value`: letters and `_`, then digits.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let word = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let named = word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let value = value.trim();
    (named && !value.is_empty()).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_first_section_only() {
        let text = "#felhom%3A job=1\n#100%25 ä\narch: amd64\nhostname: demo\nmemory: 256\n\
                    mp1: l1:vm-1-disk-1,mp=/d\nlxc.apparmor.profile: unconfined\nlxc.cap.drop =\n\
                    garbage\n\n[pve:pending]\nmemory: 512\n[snap]\nhostname: old\n";
        let config = parse(text);
        assert_eq!(config.description(), Some("felhom: job=1\n100% ä"));
        assert_eq!(config.get("memory"), Some("256"));
        assert_eq!(config.hostname(), Some("demo"));
        let raw = [("lxc.apparmor.profile", "unconfined"), ("lxc.cap.drop", "")];
        assert_eq!(
            config.raw_lxc(),
            raw.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(config.mounts().unwrap().len(), 1);
        assert_eq!(config.raw.len(), 5);
        assert_eq!(config.digest(), None);
    }

    #[test]
    fn what_pve_skips_hides_nothing() {
        let text = "[not a section]\nhookscript: local:snippets/x\n[x]\n [ab]\nmp0 : /etc,mp=/e\nMemory: 1\n\
                    description: a%3A \n#b\ndelete: net0\n[AB]\nonboot: 1\n";
        let config = parse(text);
        assert_eq!(config.hookscript(), Some("local:snippets/x"));
        assert_eq!(config.description(), Some("a:b"));
        assert_eq!(config.raw.len(), 2, "{config:?}");
    }

    #[test]
    fn an_empty_text_is_an_empty_configuration() {
        assert_eq!(parse(""), LxcConfig::default());
        assert_eq!(parse("[vzdump]\nmemory: 1"), LxcConfig::default());
    }
}

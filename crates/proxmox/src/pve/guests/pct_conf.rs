//! The text form of a container's configuration (`pct.conf`), as archives hold it.

use super::LxcConfig;

/// Reads the first section. Lines that are no setting are skipped, as PVE skips them.
pub(super) fn parse(text: &str) -> LxcConfig {
    let mut config = LxcConfig::default();
    let mut description = String::new();
    for line in text.lines() {
        let line = line.trim_end();
        if line.trim_start().starts_with('[') {
            break;
        }
        if let Some(comment) = line.strip_prefix('#') {
            // Control characters, `:` and `%` are percent-encoded in there.
            let decoded = percent_encoding::percent_decode_str(comment).decode_utf8_lossy();
            description.push_str(&decoded);
            description.push('\n');
            continue;
        }
        let Some((key, value)) = split(line) else {
            continue;
        };
        match key {
            _ if key.starts_with("lxc.") => config.lxc.push((key.to_owned(), value.to_owned())),
            "digest" => {}
            _ => {
                config.raw.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    if !description.is_empty() {
        config.raw.insert("description".to_owned(), description);
    }
    config
}

/// `key: value`; raw lines may also be written with `=`.
fn split(line: &str) -> Option<(&str, &str)> {
    let at = if line.starts_with("lxc.") {
        line.find([':', '='])
    } else {
        line.find(':')
    }?;
    let (key, rest) = line.split_at(at);
    let value = rest.get(1..)?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let named =
        key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.trim_end().chars().all(plain);
    (named && !value.is_empty()).then_some((key.trim_end(), value))
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
        assert_eq!(
            config.raw_lxc(),
            [("lxc.apparmor.profile".to_owned(), "unconfined".to_owned())]
        );
        assert_eq!(config.mounts().unwrap().len(), 1);
        assert_eq!(config.raw.len(), 5);
        assert_eq!(config.digest(), None);
    }

    #[test]
    fn an_empty_text_is_an_empty_configuration() {
        assert_eq!(parse(""), LxcConfig::default());
        assert_eq!(parse("[vzdump]\nmemory: 1"), LxcConfig::default());
    }
}

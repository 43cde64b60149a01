//! What must not be written down: passwords that the options of a volume carry, and secrets in labels.

use std::collections::BTreeMap;

use super::VolumeReport;

const REDACTED: &str = "[redacted]";

/// A key that holds one of these names a secret: `password` and `pass` of mount.cifs(8), `api_token`, and the
/// `basicauth.users` of a reverse proxy, whose value is a password's hash.
const SECRET_WORDS: [&str; 8] = [
    "pass",
    "secret",
    "token",
    "basicauth",
    "digestauth",
    "apikey",
    "api-key",
    "api_key",
];

/// Takes the secrets out of a report. A second time changes nothing.
pub(super) fn redact(report: &mut VolumeReport) {
    for volume in &mut report.volumes {
        entries(&mut volume.options);
        entries(&mut volume.labels);
    }
    for container in &mut report.containers {
        entries(&mut container.labels);
    }
}

fn entries(all: &mut BTreeMap<String, String>) {
    for (key, value) in all {
        if names_a_secret(key) {
            if !value.is_empty() {
                REDACTED.clone_into(value);
            }
        } else if value.contains(['=', '@']) {
            *value = mount_options(value);
        }
    }
}

fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// `username=me,password=x` without the password, `//me:x@host/share` without it too.
fn mount_options(value: &str) -> String {
    let told = value.split(',').map(|option| match option.split_once('=') {
        Some((key, value)) if names_a_secret(key) && !value.is_empty() => {
            format!("{key}={REDACTED}")
        }
        _ => option.to_owned(),
    });
    address(&told.collect::<Vec<_>>().join(","))
}

/// In the host of an address a password stands between the first colon and the last `@`.
fn address(text: &str) -> String {
    let whole = || text.to_owned();
    let Some((scheme, rest)) = text.split_once("//") else {
        return whole();
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(host_end);
    let Some((user, host)) = host.rsplit_once('@') else {
        return whole();
    };
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}//{user}:{REDACTED}@{host}{path}"),
        None => whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_go_and_what_decides_stays() {
        for (key, before, after) in [
            (
                "o",
                "username=me,password=x,vers=3.0",
                "username=me,password=[redacted],vers=3.0",
            ),
            ("o", "addr=192.0.2.7,rw", "addr=192.0.2.7,rw"),
            ("o", "PASS=x", "PASS=[redacted]"),
            ("o", "password=", "password="),
            ("device", ":/export/media", ":/export/media"),
            ("device", "//host/share", "//host/share"),
            (
                "device",
                "https://me:p@ss@host/x@y:z",
                "https://me:[redacted]@host/x@y:z",
            ),
            ("sshcmd", "me@host:/path", "me@host:/path"),
            ("Password", "x", "[redacted]"),
            ("traefik.x.basicauth.users", "me:$apr1$x", "[redacted]"),
            ("felhom.class", "bulk", "bulk"),
        ] {
            let mut all = BTreeMap::from([(key.to_owned(), before.to_owned())]);
            for _ in 0..2 {
                entries(&mut all);
                assert_eq!(all[key], after, "{key}={before}");
            }
        }
    }
}

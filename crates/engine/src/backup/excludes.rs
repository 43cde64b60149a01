//! What the node's `/etc/vzdump.conf` leaves out of every container's archive, though plan and log say that it is in.

use wildmatch::WildMatch;

use crate::finding::{Finding, codes, one_line};
use crate::inclusion::Inclusion;
use crate::volumes::PlannedVolume;

/// What an `exclude-path` takes away of what is planned to be in.
pub(super) fn findings(
    subject: &str,
    patterns: &[String],
    mounts: &[Inclusion],
    volumes: &[PlannedVolume],
) -> Vec<Finding> {
    let of_mounts = mounts.iter().filter(|mount| mount.included);
    let of_mounts = of_mounts.map(|mount| (mount.key.clone(), Some(&mount.path)));
    let of_volumes = volumes.iter().filter(|volume| volume.included);
    let of_volumes = of_volumes.map(|one| (format!("volume {}", one.name), one.path.as_ref()));
    let mut found = Vec::new();
    for (what, path) in of_mounts.chain(of_volumes) {
        let Some(path) = path else { continue };
        let by = patterns.iter().find(|pattern| takes(pattern, path));
        found.extend(by.map(|pattern| {
            let detail = one_line(&format!(
                "`/etc/vzdump.conf` leaves `{pattern}` out of every archive, and that is all of {what} (`{path}`)"
            ));
            Finding::new(codes::EXCLUDED_BY_VZDUMP_CONF, subject, detail)
                .hint("take it off `exclude-path` in /etc/vzdump.conf, or back that data up by other means")
        }));
    }
    found
}

/// Whether a pattern leaves a directory out, or all that lies in it. As tar reads it (`--exclude` with `--anchored` for those
/// that begin with a slash, pve-container VZDump/LXC.pm): `*` also stands for slashes, and what is left out takes all below
/// it along. Classes (`[…]`) and escapes are taken as they are written: what they leave out is missed by its own mount point.
fn takes(pattern: &str, path: &str) -> bool {
    let anchored = pattern.strip_prefix('/');
    let glob = WildMatch::new(anchored.unwrap_or(pattern));
    let loose = WildMatch::new(&format!("*/{pattern}"));
    let matches = |text: &str| glob.matches(text) || anchored.is_none() && loose.matches(text);
    let path = path.trim_matches('/');
    let mut parents = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    // A name that nobody has stands for whatever lies in the directory.
    let content = format!("{path}/\u{fffd}\u{fffd}");
    parents.any(|end| path.get(..end).is_some_and(matches)) || matches(&content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_a_directory_its_parents_or_its_content() {
        for (pattern, path, expected) in [
            ("/srv/data", "/srv/data", true),
            ("/srv", "/srv/data", true),
            ("/srv/data/*", "/srv/data", true),
            ("/srv/data/?*", "/srv/data/", true),
            ("/srv/d*", "/srv/data", true),
            ("data", "/srv/data", true),
            ("data/*", "/srv/data", true),
            ("/srv/data/cache", "/srv/data", false),
            ("/srv/dat", "/srv/data", false),
            ("srv/data", "/other/srv/data", true),
            ("/data", "/srv/data", false),
            ("*.log", "/srv/data", false),
        ] {
            assert_eq!(takes(pattern, path), expected, "{pattern} {path}");
        }
    }
}

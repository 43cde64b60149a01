//! Which mount points a container's backup contains, and the lines that say so.

use crate::guest::formats::{Mount, Source};

/// The mount points in vzdump's order, those included marked, and the lines of the log.
pub(crate) struct Inclusion {
    pub(crate) included: Vec<Mount>,
    pub(crate) lines: Vec<String>,
}

/// Judges every mount point: the root always, volumes only with `backup=1`, nothing else ever.
pub(crate) fn judge(mounts: Vec<Mount>) -> Inclusion {
    let mut out = Inclusion {
        included: Vec::new(),
        lines: Vec::new(),
    };
    for mount in mounts {
        let (key, path) = (mount.key.clone(), mount.path().to_owned());
        let source = mount.source();
        if key == "rootfs" || source == Source::Volume && mount.flag("backup") {
            out.lines
                .push(format!("including mount point {key} ('{path}') in backup"));
            out.included.push(mount);
        } else if source == Source::Volume {
            out.lines.push(format!(
                "excluding volume mount point {key} ('{path}') from backup (disabled)"
            ));
        } else {
            let word = source.word();
            out.lines.push(format!(
                "excluding {word} mount point {key} ('{path}') from backup (not a volume)"
            ));
        }
    }
    out
}

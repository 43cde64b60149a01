//! An archive held against what was read from it when it was made: it does not change, so any difference is somebody's or
//! something's doing. Plan and log cannot tell that, where what is left still looks like a backup of an emptier guest.

use std::collections::BTreeSet;

use super::{ArchiveProof, ProofStanding};
use crate::finding::one_line;
use crate::world::{ArchiveContent, ArchivedVolume, MountTally};

impl ArchiveProof {
    /// Adds the witness of our record: what was in the archive when it was made. A record of an archive that could not be
    /// read to its end says nothing.
    #[must_use]
    pub fn held_against(mut self, recorded: &ArchiveContent) -> Self {
        let whole = |content: &&ArchiveContent| content.complete && !content.listed_only;
        let now = self.content.as_ref().filter(whole);
        let Some((now, recorded)) = now.zip(Some(recorded).filter(whole)) else {
            return self;
        };
        let changes = changes(recorded, now);
        if !changes.is_empty() {
            self.standing = ProofStanding::Failed;
            self.reasons.splice(0..0, changes);
        }
        self
    }
}

fn changes(recorded: &ArchiveContent, now: &ArchiveContent) -> Vec<String> {
    let keys: BTreeSet<&String> = recorded.mounts.keys().chain(now.mounts.keys()).collect();
    let of_mounts = keys.into_iter().filter_map(|key| {
        let held = |content: &ArchiveContent| content.mounts.get(key).copied().unwrap_or_default();
        tally(key, held(recorded), held(now))
    });
    let of_volumes = recorded.docker_volumes.iter().filter_map(|was| {
        // What was asked for then need not be what is asked for now; its mount point tells of what is gone.
        let same = |is: &&ArchivedVolume| is.name == was.name && is.path == was.path;
        let is = now.docker_volumes.iter().find(same)?;
        let name = one_line(&format!("volume {}", was.name));
        tally(&name, was.tally, is.tally).or_else(|| samples(&name, was, is))
    });
    let told: Vec<String> = of_mounts.chain(of_volumes).collect();
    if told.is_empty() {
        // Names that no mount point can have are counted here only.
        let all = |content: &ArchiveContent| MountTally {
            members: content.members,
            bytes: content.bytes,
        };
        return tally("the archive", all(recorded), all(now))
            .into_iter()
            .collect();
    }
    told
}

fn tally(what: &str, was: MountTally, is: MountTally) -> Option<String> {
    (was != is).then(|| {
        format!(
            "{what}: {} members, {} bytes; when the backup was made it held {} members, {} bytes",
            is.members, is.bytes, was.members, was.bytes
        )
    })
}

fn samples(what: &str, was: &ArchivedVolume, is: &ArchivedVolume) -> Option<String> {
    (was.samples != is.samples)
        .then(|| format!("{what}: sampled files are not what they were when the backup was made"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::{LogSource, Witnesses, prove_archive};
    use crate::vzdump_log::VzdumpLog;
    use crate::world::SampledFile;

    fn volume(bytes: u64) -> ArchivedVolume {
        ArchivedVolume {
            name: "db".into(),
            path: "/srv/db".into(),
            tally: MountTally { members: 1, bytes },
            root_present: true,
            root_is_other: false,
            files: 1,
            newest_mtime_s: None,
            samples: vec![SampledFile {
                rank: 1,
                path: "file".into(),
                size: bytes,
                mtime_s: 7,
                sha256: "00".into(),
            }],
        }
    }

    fn content() -> ArchiveContent {
        let tally = MountTally {
            members: 3,
            bytes: 100,
        };
        ArchiveContent {
            complete: true,
            config_first: true,
            mounts: [("rootfs".to_owned(), tally), ("mp1".to_owned(), tally)].into(),
            docker_volumes: vec![volume(100)],
            ..ArchiveContent::default()
        }
    }

    fn held(recorded: &ArchiveContent, now: ArchiveContent) -> (ProofStanding, Vec<String>) {
        let witnesses = Witnesses {
            mounts: Vec::new(),
            volumes: Vec::new(),
            volumes_of_then: true,
            log: Some((LogSource::Record, VzdumpLog::default())),
            content: Ok(now),
        };
        let volid = "local:backup/vzdump-lxc-101-2026_11_20-01_00_00.tar.zst";
        let proof = prove_archive(&volid.parse().unwrap(), witnesses).held_against(recorded);
        (proof.standing, proof.reasons)
    }

    #[test]
    fn an_archive_is_what_it_was_however_it_is_packed() {
        let packed_anew = ArchiveContent {
            compressed_bytes: 99,
            elapsed_ms: 7,
            ..content()
        };
        assert_eq!(
            held(&content(), packed_anew),
            (ProofStanding::Proven, vec![])
        );
    }

    #[test]
    fn whatever_changed_in_it_is_told() {
        let change = |change: fn(&mut ArchiveContent)| {
            let mut now = content();
            change(&mut now);
            let (standing, reasons) = held(&content(), now);
            assert_eq!(standing, ProofStanding::Failed, "{reasons:?}");
            reasons.join("\n")
        };
        let gone = change(|now| {
            now.mounts.remove("mp1");
        });
        assert_eq!(
            gone,
            "mp1: 0 members, 0 bytes; when the backup was made it held 3 members, 100 bytes"
        );
        let smuggled = change(|now| {
            let more = MountTally {
                members: 1,
                bytes: 1,
            };
            now.mounts.insert("mp2".into(), more);
        });
        assert!(smuggled.starts_with("mp2: 1 members"), "{smuggled}");
        let emptied = change(|now| now.docker_volumes[0].tally = MountTally::default());
        assert!(emptied.starts_with("volume db: 0 members"), "{emptied}");
        let odd = change(|now| now.members += 1);
        assert!(odd.starts_with("the archive: 1 members"), "{odd}");
        let replaced = change(|now| now.docker_volumes[0].samples[0].sha256 = "11".into());
        assert!(replaced.contains("sampled files"), "{replaced}");
    }

    #[test]
    fn what_was_not_asked_for_or_never_read_says_nothing() {
        let unasked = ArchiveContent {
            docker_volumes: vec![],
            ..content()
        };
        assert_eq!(held(&content(), unasked).0, ProofStanding::Proven);
        let cut = ArchiveContent {
            complete: false,
            mounts: [].into(),
            ..content()
        };
        assert_eq!(held(&cut, content()).0, ProofStanding::Proven);
    }
}

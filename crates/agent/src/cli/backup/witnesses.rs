//! The three witnesses in words: plan, vzdump's log, and the archive, a line for each mount point and each volume.

use felhom_engine::volumes::VolumeProof;
use felhom_engine::{ArchiveContent, ArchivedVolume, MountProof, MountTally};

use crate::output::{size, table};

/// The table of all that was planned.
pub(super) fn witness_table(mounts: &[MountProof], volumes: &[VolumeProof]) -> String {
    let of_mounts = mounts.iter().map(|proof| {
        let planned = &proof.planned;
        row(
            format!("{} ({})", planned.key, planned.path),
            (planned.included, &planned.why),
            proof.logged,
            proof.archived,
            contradiction(proof.difference.as_deref()),
        )
    });
    let of_volumes = volumes.iter().map(|proof| {
        let planned = &proof.planned;
        let class = planned
            .class
            .map_or_else(|| "unclassified".to_owned(), |class| class.to_string());
        row(
            one_line(&format!("volume {} ({class})", planned.name)),
            (planned.included, &planned.why),
            proof.logged,
            proof.archived,
            contradiction(proof.difference.as_deref())
                .or_else(|| Some(format!("unproven: {}", proof.doubt.as_ref()?))),
        )
    });
    let rows: Vec<_> = of_mounts.chain(of_volumes).collect();
    table(&["WHAT", "PLAN", "LOG", "ARCHIVE", "WHY"], &rows)
}

fn contradiction(difference: Option<&str>) -> Option<String> {
    difference.map(|difference| format!("CONTRADICTION: {difference}"))
}

fn row(
    what: String,
    (included, why): (bool, &str),
    logged: Option<bool>,
    archived: Option<MountTally>,
    trouble: Option<String>,
) -> Vec<String> {
    let archived = archived.map_or_else(
        || "-".to_owned(),
        |tally| format!("{} members, {}", tally.members, size(tally.bytes)),
    );
    let why = trouble.unwrap_or_else(|| one_line(why));
    vec![
        what,
        in_or_out(included).to_owned(),
        logged.map_or("-", in_or_out).to_owned(),
        archived,
        why,
    ]
}

fn in_or_out(included: bool) -> &'static str {
    if included { "in" } else { "out" }
}

/// What the figures of a table count where directories were listed and nothing was read.
pub(super) fn listed_line(content: Option<&ArchiveContent>) -> Option<String> {
    let listed = content.is_some_and(|content| content.listed_only);
    listed.then(|| {
        "  it lies on a backup server: directories were listed through the node, what lies deeper is not counted, and nothing was \
         read (a restore test reads everything)"
            .to_owned()
    })
}

/// Volumes that lie in the archive and that nobody told of.
pub(super) fn untold_lines(content: &[ArchivedVolume], told: &[VolumeProof]) -> Vec<String> {
    let is_told =
        |volume: &&ArchivedVolume| told.iter().any(|proof| proof.planned.name == volume.name);
    content
        .iter()
        .filter(|volume| !is_told(volume))
        .map(|volume| {
            let name = one_line(&volume.name);
            // Of a volume that is bound elsewhere Docker keeps an empty directory.
            if volume.tally.members == 0 {
                return format!(
                    "  out Docker volume `{name}`: nothing of it at its usual place; if it is bound elsewhere, that place counts"
                );
            }
            format!(
                "  in  Docker volume `{name}`: {} members, {} (no report told of it)",
                volume.tally.members,
                size(volume.tally.bytes)
            )
        })
        .collect()
}

/// A name that breaks a line would look like another row.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

//! The proof of an archive at any later time: the plan of its configuration or of our record, vzdump's log where there is one,
//! and what is in the archive.

mod recorded;

use felhom_ids::VolumeId;
use serde::{Deserialize, Serialize};

use crate::finding::one_line;
use crate::inclusion::{Inclusion, MountProof, prove_inclusion};
use crate::volumes::{PlannedVolume, VolumeProof, prove_volumes};
use crate::vzdump_log::VzdumpLog;
use crate::world::ArchiveContent;

/// What the witnesses add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofStanding {
    /// All three are there, and agree.
    Proven,
    /// Two of them contradict each other, or the archive breaks off.
    Failed,
    /// A witness is missing; those that are there agree.
    Unproven,
}

/// Where vzdump's word comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// Our own record of the backup.
    Record,
    /// The log file beside the archive.
    LogFile,
}

/// The witnesses about one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnesses {
    /// What should be of each mount point.
    pub mounts: Vec<Inclusion>,
    /// What should be of each volume; empty when nobody told of any.
    pub volumes: Vec<PlannedVolume>,
    /// Whether they are those of when the backup was made. Of others the archive may rightly hold what it holds: then they
    /// are asked for, and contradict nothing.
    pub volumes_of_then: bool,
    /// What vzdump said.
    pub log: Option<(LogSource, VzdumpLog)>,
    /// What is in the archive, or why that cannot be read.
    pub content: Result<ArchiveContent, String>,
}

/// The proof of one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveProof {
    /// The archive.
    pub volid: VolumeId,
    /// What it adds up to.
    pub standing: ProofStanding,
    /// Why it is not proven.
    pub reasons: Vec<String>,
    /// Where vzdump's word comes from.
    pub log: Option<LogSource>,
    /// By mount point.
    pub mounts: Vec<MountProof>,
    /// By volume.
    pub volumes: Vec<VolumeProof>,
    /// What was read from the archive.
    pub content: Option<ArchiveContent>,
}

/// Holds the witnesses against each other.
pub fn prove_archive(volid: &VolumeId, witnesses: Witnesses) -> ArchiveProof {
    let Witnesses {
        mounts,
        volumes,
        volumes_of_then,
        log,
        content,
    } = witnesses;
    let (source, log) = log.unzip();
    let whole = content.as_ref().ok().filter(|content| content.complete);
    let mounts = prove_inclusion(&mounts, log.as_ref(), whole);
    let mut volumes = prove_volumes(&volumes, log.as_ref(), whole);
    if !volumes_of_then {
        volumes.iter_mut().for_each(VolumeProof::soften);
    }
    let mut failed: Vec<String> = differences(&mounts, &volumes);
    let mut missing = Vec::new();
    match &content {
        Ok(content) if !content.complete => {
            let why = content.error.as_deref().unwrap_or("it ends too early");
            failed.insert(0, format!("the archive cannot be read to its end: {why}"));
        }
        Ok(content) if !content.config_first => {
            failed.push("the archive does not begin with the guest's configuration".to_owned());
        }
        Ok(_) => {}
        Err(why) => missing.push(format!("the archive cannot be looked at: {why}")),
    }
    for proof in &volumes {
        if let Some(doubt) = &proof.doubt {
            let name = &proof.planned.name;
            missing.push(one_line(&format!("volume {name}: {doubt}")));
        }
    }
    if log.is_none() {
        missing.push(
            "vzdump's log is not there any more, neither in our records nor beside the archive"
                .to_owned(),
        );
    }
    let standing = match (failed.is_empty(), missing.is_empty()) {
        (false, _) => ProofStanding::Failed,
        (true, false) => ProofStanding::Unproven,
        (true, true) => ProofStanding::Proven,
    };
    failed.extend(missing);
    ArchiveProof {
        volid: volid.clone(),
        standing,
        reasons: failed,
        log: source,
        mounts,
        volumes,
        content: content.ok(),
    }
}

fn differences(mounts: &[MountProof], volumes: &[VolumeProof]) -> Vec<String> {
    let of_mounts = mounts.iter().filter_map(|proof| {
        let difference = proof.difference.as_ref()?;
        let planned = &proof.planned;
        Some(format!("{} ({}): {difference}", planned.key, planned.path))
    });
    let of_volumes = volumes.iter().filter_map(|proof| {
        let difference = proof.difference.as_ref()?;
        let name = &proof.planned.name;
        Some(one_line(&format!("volume {name}: {difference}")))
    });
    of_mounts.chain(of_volumes).collect()
}

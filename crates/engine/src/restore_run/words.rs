//! The plan in lines for people.

use felhom_ids::StorageId;

use crate::restore_run::beyond::Beyond;
use crate::restore_run::features::Feature;
use crate::restore_run::plan::{Missing, RestoreRunPlan, RestoredVolume};
use crate::restore_run::space::Space;

impl RestoreRunPlan {
    /// The plan in lines for people.
    pub fn lines(&self) -> Vec<String> {
        let source = self.source.map_or_else(String::new, |source| {
            format!(", a backup of guest {source},")
        });
        let mut lines = vec![format!(
            "restore `{}`{source} as guest {} with identity `{}`",
            self.volid, self.vmid, self.identity
        )];
        let mut part = |title: &str, texts: Vec<String>| {
            if !texts.is_empty() {
                lines.push(format!("  {title}:"));
                lines.extend(texts.into_iter().map(|text| format!("    {text}")));
            }
        };
        part("comes back", self.made(true));
        part("comes back empty", self.made(false));
        part("does not come back", self.absent());
        part("changes", self.changes.clone());
        part("features", self.features());
        part("stays the same, though it may clash", self.clashes.clone());
        part(
            "is in no archive",
            vec![
                "snapshots, pool, grants on the VMID, backup jobs, replication, high availability"
                    .to_owned(),
            ],
        );
        part("could not be looked at", self.unseen());
        part("space", self.space.iter().map(Space::line).collect());
        part("as root on the node, afterwards", self.commands());
        let beyond = self.beyond.iter().map(Beyond::line);
        part("what no token can do", beyond.collect());
        lines.push("  downtime: none; no guest that is there is touched".to_owned());
        lines.extend(
            self.refused
                .iter()
                .map(|refusal| format!("  refused: {}", refusal.what)),
        );
        lines
    }

    fn features(&self) -> Vec<String> {
        let privilege = self.privilege.iter().cloned();
        let each = self.features.iter().map(Feature::line);
        privilege.chain(each).collect()
    }

    /// Storages that get no volume of it, and that may hold what is left of a guest of this VMID.
    fn unseen(&self) -> Vec<String> {
        let hidden = self.before.iter().filter(|(_, seen)| seen.is_none());
        let line = |(id, _): (&StorageId, &Option<_>)| {
            let vmid = self.vmid;
            format!(
                "whether `{id}` holds volumes that bear the VMID {vmid}: pvesm list {id} --vmid {vmid}"
            )
        };
        hidden.map(line).collect()
    }

    fn made(&self, filled: bool) -> Vec<String> {
        let comes = |one: &&RestoredVolume| (one.filled || one.generated) == filled;
        let made = self.volumes.iter().filter(comes);
        made.map(|one| {
            let note = if one.generated {
                ": made anew, and written by Proxmox from the configuration".to_owned()
            } else if filled {
                String::new()
            } else {
                ": not in the backup (no backup=1)".to_owned()
            };
            format!(
                "{} ({}), {} on `{}`{note}",
                one.key, one.path, one.size, one.storage
            )
        })
        .collect()
    }

    fn absent(&self) -> Vec<String> {
        let line = |one: &Missing| match &one.path {
            Some(path) => format!("{} ({path}): {}", one.key, one.why),
            None => one.why.clone(),
        };
        self.missing.iter().map(line).collect()
    }

    /// What an admin types as root on the node to have back what does not come back by itself.
    pub fn commands(&self) -> Vec<String> {
        self.missing
            .iter()
            .filter_map(|one| one.command.clone())
            .collect()
    }
}

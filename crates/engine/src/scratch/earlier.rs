//! Which task on a VMID was the last.
//!
//! A UPID tells by the node's clock when its task started, and that clock may be set back: then a task of last week looks like
//! the last. What was listed before we asked for anything is certainly earlier.

use std::collections::BTreeSet;

use felhom_ids::Upid;
use serde::{Deserialize, Serialize};

use crate::world::{ScratchFacts, TaskFacts};

/// The tasks of a VMID that were listed before ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Earlier {
    /// Before we asked for the restore; `None` where nobody looked.
    #[serde(default)]
    pub restore: Option<BTreeSet<Upid>>,
    /// Before we asked for the removal, the last time that we did.
    #[serde(default)]
    pub destroy: BTreeSet<Upid>,
}

impl Earlier {
    /// The last task on the VMID; `None` when none is known.
    pub fn last<'a>(&self, facts: &'a ScratchFacts) -> Option<&'a TaskFacts> {
        let known = std::iter::once(&self.destroy).chain(&self.restore);
        let mut known = known.filter(|earlier| !earlier.is_empty());
        known
            .find_map(|earlier| {
                let mut late = facts.tasks.iter().rev();
                late.find(|task| !earlier.contains(&task.upid))
            })
            .or_else(|| facts.tasks.last())
    }

    /// The tasks that came after our request for the restore and that no look before our removal showed, in the order of the
    /// clock; `None` where nobody looked before the restore.
    pub fn later<'a>(&self, facts: &'a ScratchFacts) -> Option<Vec<&'a TaskFacts>> {
        let before = self.restore.as_ref()?;
        let is_later =
            |task: &&TaskFacts| !before.contains(&task.upid) && !self.destroy.contains(&task.upid);
        Some(facts.tasks.iter().filter(is_later).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Existence;

    /// Listed by the clock: each starts a second after the one before it.
    fn listed(kinds: &[&str]) -> ScratchFacts {
        let tasks = kinds.iter().zip(0x6A00_0000..).map(|(kind, at)| TaskFacts {
            upid: upid(kind, at),
            running: false,
            status: None,
        });
        ScratchFacts {
            existence: Existence::Absent,
            state: None,
            volumes: None,
            tasks: tasks.collect(),
        }
    }

    fn upid(kind: &str, at: u32) -> Upid {
        let text = format!("UPID:n:00000001:00000001:{at:08X}:{kind}:9100:a@pve!b:");
        text.parse().unwrap()
    }

    fn kind<'a>(earlier: &Earlier, facts: &'a ScratchFacts) -> Option<&'a str> {
        earlier.last(facts).map(|task| task.upid.kind())
    }

    #[test]
    fn what_was_listed_before_ours_is_earlier_though_the_clock_says_otherwise() {
        // The clock was set back before our restore.
        let facts = listed(&["vzrestore", "vzdestroy"]);
        assert_eq!(kind(&Earlier::default(), &facts), Some("vzdestroy"));
        let mut earlier = Earlier {
            restore: Some(BTreeSet::from([facts.tasks[1].upid.clone()])),
            ..Earlier::default()
        };
        assert_eq!(kind(&earlier, &facts), Some("vzrestore"));
        // And once more before our removal.
        let facts = listed(&["vzstop", "vzrestore", "vzdestroy"]);
        earlier.destroy = facts.upids();
        earlier.destroy.remove(&facts.tasks[0].upid);
        assert_eq!(kind(&earlier, &facts), Some("vzstop"));
    }

    #[test]
    fn where_nothing_came_after_a_request_the_one_before_it_counts() {
        let facts = listed(&["vzrestore", "vzdestroy"]);
        let earlier = Earlier {
            restore: Some(BTreeSet::from([facts.tasks[1].upid.clone()])),
            destroy: facts.upids(),
        };
        assert_eq!(kind(&earlier, &facts), Some("vzrestore"));
        assert_eq!(kind(&earlier, &listed(&[])), None);
    }

    #[test]
    fn whatever_came_after_our_restore_is_seen_wherever_the_clock_puts_it() {
        // The clock was set back after our restore, and then somebody started the guest.
        let facts = listed(&["vzdump", "vzstart", "vzrestore"]);
        let earlier = Earlier {
            restore: Some(BTreeSet::from([facts.tasks[0].upid.clone()])),
            ..Earlier::default()
        };
        let later = earlier.later(&facts).unwrap();
        let kinds: Vec<&str> = later.iter().map(|task| task.upid.kind()).collect();
        assert_eq!(kinds, ["vzstart", "vzrestore"]);
        assert_eq!(Earlier::default().later(&facts), None);
    }
}

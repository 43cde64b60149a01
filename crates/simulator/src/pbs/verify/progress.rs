//! How far a verification is, in the server's words.

/// How far a verification of several groups is.
pub(super) struct Progress {
    groups: usize,
    pub(super) done_groups: usize,
    pub(super) snapshots: usize,
    pub(super) done: usize,
}

impl Progress {
    pub(super) fn new(groups: usize) -> Self {
        Self {
            groups,
            done_groups: 0,
            snapshots: 0,
            done: 0,
        }
    }

    pub(super) fn text(&self) -> String {
        let number = |value: usize| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
        let groups = number(self.groups).max(1.0);
        let part = number(self.done_groups) / groups
            + number(self.done) / number(self.snapshots).max(1.0) / groups;
        let percent = part * 100.0;
        let current = (self.done_groups + 1).min(self.groups);
        let Self {
            groups,
            done_groups,
            snapshots,
            done,
        } = self;
        if *groups == 1 {
            format!("{percent:.2}% ({done}/{snapshots} snapshots)")
        } else if done == snapshots {
            format!("{percent:.2}% ({current}/{groups} groups)")
        } else {
            format!(
                "{percent:.2}% ({done_groups}/{groups} groups, {done}/{snapshots} snapshots in group #{current})"
            )
        }
    }
}

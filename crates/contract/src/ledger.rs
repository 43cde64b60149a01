//! What a run made, in the order in which it made it: nothing else is ever removed.

/// One thing that was not there before, and that our own request put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Made {
    /// A guest on a VMID that was free right before.
    Guest(u32),
    /// An archive that was not listed before the task that wrote it.
    Archive { storage: String, volid: String },
    /// A disk volume.
    Volume { storage: String, volid: String },
    /// A snapshot of an expendable guest that was not listed before.
    Snapshot { vmid: u32, name: String },
    /// A storage definition whose name begins with ours.
    Storage(String),
    /// A user whose name begins with ours.
    User(String),
    /// The token of a user on a backup server, where it does not go with its user.
    Token(String),
    /// A grant on a backup server to an account of ours.
    Acl {
        path: String,
        role: String,
        auth: String,
    },
    /// A datastore on a backup server whose name begins with ours, and that was not there.
    Datastore(String),
    /// A role whose name begins with ours.
    Role(String),
}

/// The things made so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    made: Vec<Made>,
}

impl Ledger {
    /// A place in time.
    pub(crate) fn len(&self) -> usize {
        self.made.len()
    }

    /// Notes something down, once.
    pub(crate) fn note(&mut self, made: Made) {
        if !self.made.contains(&made) {
            self.made.push(made);
        }
    }

    /// Takes what was made since `from`, the last first.
    pub(crate) fn take_since(&mut self, from: usize) -> Vec<Made> {
        let mut taken = self.made.split_off(from.min(self.made.len()));
        taken.reverse();
        taken
    }
}

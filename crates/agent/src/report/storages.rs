//! What was seen of the storages and targets, and what is left of it when they could not be looked at.

use felhom_engine::storages::Answer;

use super::Look;
use crate::storages::sight::{self, Seen, SightError};

impl Look<'_> {
    /// The targets need no node. Which storages there are is not known then.
    pub(super) async fn targets_only(&self) -> Result<Seen, SightError> {
        let targets = sight::look_at_targets(self.config, self.journal).await;
        let targets = targets.map_err(SightError::Journal)?;
        Ok(Seen {
            all: Vec::new(),
            targets,
            unlisted: true,
        })
    }

    /// Names what could not be looked at, and remembers the rest.
    pub(super) async fn seen(&mut self, seen: Result<Seen, SightError>) -> Seen {
        let seen = match seen {
            Err(SightError::Node(error)) => {
                self.unasked("storages", error);
                self.targets_only().await
            }
            seen => seen,
        };
        match seen {
            Ok(seen) => {
                seen.note(self.config).await;
                for one in &seen.all {
                    if let Answer::None(why) = &one.look.answer {
                        self.unseen(format!("storage {}", one.look.id), why);
                    }
                }
                if let Some(why) = &seen.targets.absent {
                    self.unseen("targets", why);
                }
                seen
            }
            Err(SightError::Node(error)) => {
                self.unasked("storages", error);
                unseen()
            }
            Err(SightError::Journal(error)) => {
                self.unseen("targets", error.to_string());
                self.unread("storages", error);
                unseen()
            }
        }
    }
}

fn unseen() -> Seen {
    Seen {
        unlisted: true,
        ..Seen::default()
    }
}

//! Which backup servers are had to read backups back: each once a window; what is due by age on it, the verify itself says.

use super::{Chore, Desk, Work, ago};

impl Desk<'_> {
    pub(super) fn verifies(&mut self) {
        if self.schedule.verify.opens.is_empty() {
            if !self.facts.servers.is_empty() {
                self.unasked(Chore::Verifies, "`[schedule] verify` names no time");
            }
            return;
        }
        let window = self.window(&self.schedule.verify);
        let now = self.facts.now;
        let mut servers: Vec<_> = self
            .facts
            .servers
            .iter()
            .map(|server| (self.believed(&server.verified).max(), server))
            .collect();
        servers.sort_by_key(|(last, server)| (*last, server.storage.clone()));
        for (last, server) in servers {
            let work = Work::Verify {
                storage: server.storage.clone(),
                until: window.open.map(|open| open.until),
            };
            let done = last.is_some_and(|last| window.open.is_some_and(|open| last >= open.since));
            let said = last.map_or_else(
                || "nothing on it was verified yet".to_owned(),
                |last| format!("it verified {} ago", ago(now, last)),
            );
            if !window.may {
                let reason = format!("{said}; the window is closed");
                self.left(work, reason, window.next, false);
            } else if done {
                self.left(work, said, window.next, false);
            } else if let Some((reason, next)) = self.resting(&server.failed, last, window) {
                self.left(work, reason, next, false);
            } else {
                self.due(work, said);
            }
        }
    }
}

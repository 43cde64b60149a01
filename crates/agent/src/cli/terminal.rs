//! Progress on a terminal: the phase, how long it takes, and the last log line.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use felhom_engine::{Mutation, Observe, Step};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Printer, printable, size};
use crate::progress::{Event, Progress};

/// Shows one job. On anything but a terminal only the planning report is narrated.
pub(crate) struct Terminal {
    printer: Printer,
    bar: Option<ProgressBar>,
    phase: Mutex<String>,
}

impl Terminal {
    pub(crate) fn new(printer: Printer) -> Self {
        let wanted = printer.record.is_none()
            && !printer.quiet
            && !printer.json
            && std::io::stderr().is_terminal();
        let bar = wanted.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            printer,
            bar,
            phase: Mutex::new(String::new()),
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.narrate(line)),
            None => self.printer.narrate(line),
        }
    }

    fn show(&self, detail: &str) {
        if let (Some(bar), Ok(phase)) = (&self.bar, self.phase.lock()) {
            bar.set_message(if detail.is_empty() {
                phase.clone()
            } else {
                format!("{phase}: {detail}")
            });
        }
    }
}

impl Progress for Terminal {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Planned(line) => self.say(line),
            Event::Intended { step, .. } => {
                if let Ok(mut phase) = self.phase.lock() {
                    phase_of(step).clone_into(&mut phase);
                }
                self.show("");
            }
            Event::LogLine(line) => self.show(&printable(line)),
            Event::Bytes { done } => self.show(&size(*done)),
            Event::Waiting(reason) => self.show(&format!("waiting: {reason}")),
            Event::Performed { .. } | Event::Concluded { .. } => {}
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn phase_of(step: &Step) -> &'static str {
    match step {
        Step::Observe(observe) => match observe {
            Observe::BackupSubject { .. }
            | Observe::TestSubject { .. }
            | Observe::RestoreSubject { .. } => "looking",
            Observe::Restored { .. } => "looking at the restored guest",
            Observe::BackupResult { .. } => "reading back",
            Observe::ArchiveContent { .. } => "reading the archive",
            Observe::Scratch { .. } => "looking at the scratch guest",
            Observe::Evidence { .. } => "gathering evidence",
            Observe::Archive { .. } => "reading the notes",
            Observe::Archives { .. } => "listing archives",
            Observe::Snapshots { .. } => "listing snapshots",
            Observe::GuardSubject { .. } => "looking at the guest",
            Observe::PbsSnapshots { .. } => "listing backups on the backup server",
            Observe::Tasks { .. } => "listing tasks",
        },
        Step::Mutate(mutation) => match mutation {
            Mutation::Backup { .. } => "asking for the backup",
            Mutation::Restore(_) | Mutation::RestoreGuest(_) => "asking for the restore",
            Mutation::Start(_)
            | Mutation::StartMachine(_)
            | Mutation::StartRestored(_)
            | Mutation::StartRestoredMachine(_) => "starting",
            Mutation::Stop(_) | Mutation::StopMachine(_) => "stopping",
            Mutation::Destroy(_)
            | Mutation::DestroyMachine(_)
            | Mutation::DestroyRestored(_)
            | Mutation::DestroyRestoredMachine(_)
            | Mutation::DestroyStub { .. } => "removing",
            Mutation::CreateGolden { .. } => "asking the root helper for the container",
            Mutation::ReleaseUnfinished { .. } => {
                "asking the root helper to release what was cut off"
            }
            Mutation::Snapshot { .. } => "snapshotting",
            Mutation::DeleteSnapshot { .. } => "removing the snapshot",
            Mutation::Rollback { .. } => "rolling back",
            Mutation::StopTask { .. } => "stopping the task",
            Mutation::SetNotes { .. } => "writing the verdict into the notes",
            Mutation::SetProtected { .. } => "keeping the proof",
            Mutation::DeleteBackup { .. } => "removing the archive",
            Mutation::Verify { .. } => "asking for the verify",
        },
        Step::FindTask { .. } => "looking for a task whose answer was lost",
        Step::Follow { .. } => "running",
    }
}

//! Following one task to its end.

use std::time::Duration;

use felhom_ids::Upid;
use tokio::time::Instant;

use super::requests;
use super::{
    Ending, Finished, FollowOptions, Left, LogLine, Outcome, Progress, Seen, Silent, TaskHandle,
    Watch,
};
use super::{TaskState, TaskStatus};
use crate::client::Client;
use crate::error::Error;
use crate::pbs::Pbs;
use crate::pve::Pve;

/// Pauses grow by half each time, …
const GROWTH: (u32, u32) = (3, 2);
/// … to this, which with a round trip stays below 250 ms, …
const SHORT: Duration = Duration::from_millis(200);
/// … or to a 25th of the time passed, which with a round trip stays below 5 %.
const SHARE: u32 = 25;
/// The log of a running task is for people; its end is read in any case.
const LOG_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to reach a server that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Log lines asked for at once.
const PAGE: u64 = 500;

impl Pve {
    /// Follows a task until it ends, the watch leaves, or it shows no sign of life. Passing
    /// trouble on the way to the server is sat out for a while; other errors end following, and
    /// say nothing about the task.
    pub async fn follow(
        &self,
        upid: &Upid,
        options: &FollowOptions,
        watch: &mut impl Watch,
    ) -> Result<Ending, Error> {
        follow(self.client(), upid, options, watch).await
    }

    /// Follows a task without listening, and takes its being left alone for undetermined.
    pub async fn finish(
        &self,
        task: TaskHandle,
        options: &FollowOptions,
    ) -> Result<Outcome, Error> {
        finish(self.client(), task, options).await
    }
}

impl Pbs {
    /// Follows a task, as [`Pve::follow`] does. A task that the server does not know, or knows no
    /// end of, is undetermined.
    pub async fn follow(
        &self,
        upid: &Upid,
        options: &FollowOptions,
        watch: &mut impl Watch,
    ) -> Result<Ending, Error> {
        follow(self.client(), upid, options, watch).await
    }

    /// Follows a task without listening, and takes its being left alone for undetermined.
    pub async fn finish(
        &self,
        task: TaskHandle,
        options: &FollowOptions,
    ) -> Result<Outcome, Error> {
        finish(self.client(), task, options).await
    }
}

async fn follow(
    client: &Client,
    upid: &Upid,
    options: &FollowOptions,
    watch: &mut impl Watch,
) -> Result<Ending, Error> {
    let mut following = Following::new(client, upid, options);
    loop {
        if let Some(finished) = following.look(watch).await? {
            return Ok(Ending::Finished(finished));
        }
        let why = match watch.check(following.progress()).await {
            Seen::Leave(why) => Some(Left::Watch(why)),
            Seen::Progress => {
                following.alive = Instant::now();
                None
            }
            Seen::Nothing => following.is_silent().map(Left::NoProgress),
        };
        if let Some(why) = why {
            return Ok(Ending::LeftRunning {
                why,
                next_line: following.lines,
            });
        }
        tokio::time::sleep(following.pause()).await;
    }
}

async fn finish(
    client: &Client,
    task: TaskHandle,
    options: &FollowOptions,
) -> Result<Outcome, Error> {
    let upid = task.into_upid();
    Ok(match follow(client, &upid, options, &mut Silent).await? {
        Ending::Finished(finished) => finished.outcome,
        Ending::LeftRunning { .. } => {
            Outcome::Undetermined("still running, without a sign of life".to_owned())
        }
    })
}

struct Following<'a> {
    client: &'a Client,
    upid: &'a Upid,
    options: &'a FollowOptions,
    began: Instant,
    /// The last sign of life.
    alive: Instant,
    log_read: Option<Instant>,
    /// Since when the server has been out of reach.
    lost: Option<Instant>,
    lines: u64,
    last_line: Option<String>,
    pause: Duration,
}

impl<'a> Following<'a> {
    fn new(client: &'a Client, upid: &'a Upid, options: &'a FollowOptions) -> Self {
        let began = Instant::now();
        Self {
            client,
            upid,
            options,
            began,
            alive: began,
            log_read: None,
            lost: None,
            lines: options.from_line,
            last_line: None,
            pause: options.first_pause,
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            elapsed: self.began.elapsed(),
            lines: self.lines,
        }
    }

    fn is_silent(&self) -> Option<Duration> {
        let silent = self.alive.elapsed();
        (silent >= self.options.no_progress).then_some(silent)
    }

    /// The next pause.
    fn pause(&mut self) -> Duration {
        let pause = self.pause;
        let cap = SHORT
            .max(self.began.elapsed() / SHARE)
            .min(self.options.longest_pause);
        self.pause = (pause * GROWTH.0 / GROWTH.1).min(cap);
        if self.lost.is_some() {
            pause.max(RETRY)
        } else {
            pause.min(cap)
        }
    }

    /// One poll: the status first, so that the log read after a "stopped" is complete.
    async fn look(&mut self, watch: &mut impl Watch) -> Result<Option<Finished>, Error> {
        let asked = self.client.send(&requests::status(self.upid, false)).await;
        let status: TaskStatus = match asked {
            Ok(status) => status,
            Err(error) => return self.sit_out(error).map(|()| None),
        };
        self.lost = None;
        let stopped = status.state == TaskState::Stopped;
        let due = self.log_read.is_none_or(|read| read.elapsed() >= LOG_EVERY);
        if stopped || due {
            self.read_log(watch).await;
        }
        if !stopped {
            return Ok(None);
        }
        let exit_status = status.exit_status.unwrap_or_default();
        let mut outcome = Outcome::parse(&exit_status);
        if outcome.is_undetermined() {
            outcome = self.ask_again(outcome, watch).await;
        }
        Ok(Some(Finished {
            outcome,
            last_line: self.last_line.take(),
            next_line: self.lines,
            took: self.began.elapsed(),
        }))
    }

    fn sit_out(&mut self, error: Error) -> Result<(), Error> {
        let since = *self.lost.get_or_insert_with(Instant::now);
        if !error.is_transient() || since.elapsed() >= self.options.unreachable {
            return Err(error);
        }
        tracing::debug!(task.upid = %self.upid, error = %error, "cannot ask for a task, trying again");
        Ok(())
    }

    /// Passes on what is new. A log that cannot be read takes nothing away from the status.
    async fn read_log(&mut self, watch: &mut impl Watch) {
        self.log_read = Some(Instant::now());
        loop {
            // A backup server counts from 1, and so repeats the last line that is known.
            let page = requests::log(self.upid, self.lines, PAGE);
            let lines: Vec<LogLine> = match self.client.send(&page).await {
                Ok(lines) => lines,
                Err(error) => {
                    tracing::debug!(task.upid = %self.upid, error = %error, "cannot read a task's log");
                    return;
                }
            };
            let full = u64::try_from(lines.len()).is_ok_and(|count| count >= PAGE);
            for line in lines {
                self.take_line(line, watch);
            }
            if !full {
                return;
            }
        }
    }

    fn take_line(&mut self, line: LogLine, watch: &mut impl Watch) {
        if line.is_stand_in() || line.n <= self.lines {
            return;
        }
        self.lines = line.n;
        self.alive = Instant::now();
        watch.line(&line);
        self.last_line = Some(line.text);
    }

    /// The exit status is kept by each of the server's workers, and one that looked too early
    /// keeps a wrong one: another connection may ask another worker, and the log knows best.
    async fn ask_again(&mut self, first: Outcome, watch: &mut impl Watch) -> Outcome {
        let again = self.client.send(&requests::status(self.upid, true)).await;
        let again: Result<TaskStatus, Error> = again;
        if let Ok(status) = again {
            let outcome = Outcome::parse(&status.exit_status.unwrap_or_default());
            if !outcome.is_undetermined() {
                return outcome;
            }
        }
        if self.last_line.is_none() {
            // All lines were known already: the last of them is needed once more.
            self.lines = self.lines.saturating_sub(1);
            let mut unheard = Silent;
            self.read_log(&mut unheard).await;
        } else {
            self.read_log(watch).await;
        }
        let read = match self.upid.task_id() {
            Some(_) => Outcome::parse_last_dated_line,
            None => Outcome::parse_last_line,
        };
        self.last_line.as_deref().and_then(read).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates the pauses for a task of this length and returns how late its end is noticed, and
    /// after how many polls.
    fn noticed(length: Duration, longest_pause: Duration) -> (Duration, u32) {
        let trip = Duration::from_millis(2);
        let (mut now, mut pause, mut polls) = (Duration::ZERO, Duration::from_millis(50), 0);
        loop {
            polls += 1;
            now += trip;
            if now >= length {
                return (now.saturating_sub(length), polls);
            }
            let cap = SHORT.max(now / SHARE).min(longest_pause);
            now += pause.min(cap);
            pause = (pause * GROWTH.0 / GROWTH.1).min(cap);
        }
    }

    #[test]
    fn the_end_is_noticed_in_time_with_few_polls() {
        let longest = FollowOptions::default().longest_pause;
        for milliseconds in (1_u64..200)
            .map(|n| n * 37)
            .chain((1..400).map(|n| n * 9_001))
        {
            let length = Duration::from_millis(milliseconds);
            let (late, polls) = noticed(length, longest);
            assert!(
                late <= (length / 20).max(Duration::from_millis(250)),
                "{length:?}: {late:?}"
            );
            assert!(polls < 600, "{length:?}: {polls}");
        }
    }
}

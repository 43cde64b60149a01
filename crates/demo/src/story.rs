//! `felhom-sim demo`: the project's main job in one go, told with the agent's own commands and measured times.

mod docker;
mod host;
mod offsite;
mod trap;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use felhom_agent::cli::{self, Cli};
use felhom_agent::exit::Exit;
use felhom_agent::output::{Printed, Printer, seconds};
use felhom_simulator::{Fault, FaultKind, Options, Running, Scenario, Simulator};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{equip, serve};

/// Patience of the demo: short where a real box needs long, because simulated tasks end soon.
const CONFIG: &str = "[limits]\nsettle = \"2s\"\n\n[restore-test]\nstable_for = \"1s\"\nmemory_mib = 256\n\n\
                      [restore-test.floors]\nroot_mib = 256\n\n\
                      [[volumes.rules]]\nname = \"films\"\nclass = \"bulk\"\n\
                      protected_by = \"the discs on the shelf\"\n";

/// Tells the story on a fresh world. Returns whether everything ended as it should.
///
/// # Errors
/// When the world cannot be started or a command breaks off.
pub async fn demo(json: bool, speed: f64) -> anyhow::Result<bool> {
    let directory = tempfile::tempdir().context("no temporary directory")?;
    let story = tell(directory.path(), speed, &mut |line| {
        if !json {
            say(line);
        }
    })
    .await?;
    if json {
        say(&serde_json::to_string_pretty(&story.document)?);
    }
    Ok(story.as_promised)
}

/// A story that was told.
#[derive(Debug)]
pub struct Story {
    /// The whole of it for programs.
    pub document: Value,
    /// Whether every chapter ended as it should.
    pub as_promised: bool,
}

/// Prints an error with its causes.
pub fn complain(error: &anyhow::Error) {
    if writeln!(std::io::stderr().lock(), "error: {error:#}").is_err() {}
}

fn say(line: &str) {
    // Whoever closed the pipe has heard enough.
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {}
}

struct Teller<'a> {
    world: &'a Running,
    /// Where the agent's things lie.
    directory: PathBuf,
    config: PathBuf,
    say: &'a mut dyn FnMut(&str),
    chapters: Vec<Value>,
    as_promised: bool,
}

/// Tells the story in `directory`, line by line.
///
/// # Errors
/// When the world cannot be started or a command breaks off.
pub async fn tell(
    directory: &Path,
    speed: f64,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Story> {
    let began = Instant::now();
    let state = directory.join("world");
    let options = Options {
        scenario: Scenario::BuiltIn,
        time: serve::time(speed)?,
        ..Options::new(&state)
    };
    let world = Simulator::start(options).await?;
    let ready = began.elapsed();
    let config = equip::equip(&world, &directory.join("box"), CONFIG)?;
    say(&format!(
        "A simulated Proxmox VE node `{}`, ready after {} ms. Two containers run on it: one has its Docker volumes on the \
         rootfs, the other has a volume outside of the backup and a bind mount. A virtual machine that this story leaves alone \
         is there as well, and has no backup.",
        world.node(),
        ready.as_millis()
    ));
    let mut teller = Teller {
        world: &world,
        directory: directory.to_owned(),
        config,
        say,
        chapters: Vec::new(),
        as_promised: true,
    };
    let told = teller.chapters().await;
    let (chapters, as_promised) = (teller.chapters, teller.as_promised);
    let total = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    world.stop().await?;
    told?;
    say("");
    say(&format!("The whole story took {}.", seconds(total)));
    let document = json!({
        "schema": "felhom.demo", "version": 1,
        "data": { "as_promised": as_promised, "total_ms": total, "chapters": chapters },
    });
    Ok(Story {
        document,
        as_promised,
    })
}

impl Teller<'_> {
    async fn chapters(&mut self) -> anyhow::Result<()> {
        self.main_job().await?;
        self.trap().await?;
        self.offsite().await?;
        self.host().await?;
        self.trouble().await?;
        self.chapter("One page that tells the truth");
        self.agent(&["status"], Exit::Findings).await.map(drop)
    }

    async fn main_job(&mut self) -> anyhow::Result<()> {
        self.chapter("Who are we, and may we?");
        self.agent(&["selftest"], Exit::Done).await?;

        self.chapter("Back both guests up, and read back what is really in the archives");
        let first = volid(&self.agent(&["backup", "run", "9001"], Exit::Done).await?)?;
        let second = volid(
            &self
                .agent(&["backup", "run", "9010"], Exit::Findings)
                .await?,
        )?;

        self.chapter("Prove that they come back: restore, boot, look, remove");
        let passed = self
            .agent(&["restore-test", "run", &first], Exit::Done)
            .await?;
        self.promise(
            "the verdict on 9001 is `passed`",
            verdict(&passed) == "passed",
        );
        let passed = self
            .agent(&["restore-test", "run", &second], Exit::Done)
            .await?;
        self.promise(
            "the verdict on 9010 is `passed`, in spite of its bind mount",
            verdict(&passed) == "passed",
        );
        self.nothing_left();

        self.chapter("The verdicts stand in the archives' notes, where PVE's own GUI shows them");
        self.agent(&["backup", "list"], Exit::Done).await?;

        Ok(())
    }

    async fn trouble(&mut self) -> anyhow::Result<()> {
        self.chapter("A damaged archive is found out");
        let damaged = volid(
            &self
                .agent(&["--quiet", "backup", "run", "9001"], Exit::Done)
                .await?,
        )?;
        self.world
            .corrupt_archive(&damaged)
            .await
            .map_err(anyhow::Error::msg)?;
        (self.say)(&format!("  (somebody damages {damaged})"));
        let failed = self
            .agent(&["restore-test", "run", &damaged], Exit::VerdictFailed)
            .await?;
        self.promise(
            "the verdict is `failed`: a statement about the backup",
            verdict(&failed) == "failed",
        );
        self.nothing_left();

        self.chapter("Somebody else fills the thin pool while we restore");
        let error = self.fill_during("9010").await?;
        self.promise(
            "the verdict is `error`: nothing is said about the backup",
            verdict(&error) == "error",
        );
        let failures =
            at(&self.world.state(), "/world/production_write_failures").and_then(Value::as_u64);
        self.promise("no production guest failed to write", failures == Some(0));
        self.nothing_left();
        Ok(())
    }

    fn chapter(&mut self, title: &str) {
        (self.say)("");
        (self.say)(&format!("== {title}"));
    }

    fn promise(&mut self, what: &str, kept: bool) {
        let mark = if kept { "ok " } else { "BROKEN " };
        (self.say)(&format!("  {mark}{what}"));
        self.chapters.push(json!({ "promise": what, "kept": kept }));
        self.as_promised &= kept;
    }

    /// Looks at the world itself, not through the agent.
    fn nothing_left(&mut self) {
        let state = self.world.state();
        let guests = at(&state, "/world/guests")
            .and_then(Value::as_object)
            .map(|guests| guests.keys().cloned().collect::<Vec<_>>());
        let scratch = guests
            .unwrap_or_default()
            .iter()
            .any(|vmid| vmid.starts_with("91"));
        self.promise("nothing of the scratch guest is left", !scratch);
    }

    /// Runs a command of the agent in this process, as a person would on the box.
    async fn agent(&mut self, args: &[&str], expected: Exit) -> anyhow::Result<Value> {
        self.agent_as(args, args, expected).await
    }

    /// The same, told with other words: a path of this run is nothing to tell.
    async fn agent_as(
        &mut self,
        args: &[&str],
        told: &[&str],
        expected: Exit,
    ) -> anyhow::Result<Value> {
        let began = Instant::now();
        let (exit, printed) = run(&self.config, args).await?;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.say)(&format!("$ felhom-agent {}", told.join(" ")));
        let mut data = Value::Null;
        for one in printed {
            match one {
                Printed::Narration(line) if !args.contains(&"--quiet") => {
                    let line = self.without_paths(&line);
                    (self.say)(&line);
                }
                Printed::Narration(_) => {}
                Printed::Document {
                    data: document,
                    text,
                    ..
                } => {
                    let told = self.without_paths(text.trim_end());
                    (self.say)(&told);
                    data = document;
                }
                Printed::Failure(code, message) if exit == expected => {
                    let message = self.without_paths(&message);
                    (self.say)(&format!("error: {message} [{code}]"));
                    data = json!({ "code": code });
                }
                Printed::Failure(code, message) => {
                    bail!("`{}` failed: {message} [{code}]", told.join(" "))
                }
            }
        }
        (self.say)(&format!("  ({}, exit code {})", seconds(took), exit.code()));
        ensure!(
            exit == expected,
            "`{}` ended with {exit:?}, not {expected:?}: {data}",
            told.join(" ")
        );
        self.chapters
            .push(json!({ "command": told, "exit": exit.code(), "took_ms": took, "data": data }));
        Ok(data)
    }

    /// Paths of this run are nothing to tell.
    fn without_paths(&self, text: &str) -> String {
        text.replace(&self.directory.display().to_string(), "")
    }

    /// A restore test, while a volume of somebody else grows as soon as the restore begins to write.
    async fn fill_during(&mut self, volid: &str) -> anyhow::Result<Value> {
        let world = self.world;
        // A slow disk: the restore takes long enough for the pool to fill meanwhile.
        world.inject(Fault::task(
            "vzrestore:extract",
            FaultKind::TaskDelay { seconds: 30.0 },
        ));
        let args = ["restore-test", "run", volid];
        let fill = async {
            loop {
                let running = at(&world.state(), "/running_tasks")
                    .map(Value::to_string)
                    .unwrap_or_default();
                if running.contains(":vzrestore:") {
                    return fill(world).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let (told, filled) = tokio::join!(self.agent(&args, Exit::VerdictError), fill);
        filled.map_err(anyhow::Error::msg)?;
        told
    }
}

/// A volume of somebody else: at once to four fifths of the pool, then 4 % of it a second, up to 97 %.
async fn fill(world: &Running) -> Result<Value, String> {
    let size = at(&world.state(), "/world/pool/size")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let percent = size / 100;
    world
        .control("fill-pool", json!({ "bytes": percent * 80 }))
        .await?;
    world
        .control(
            "fill-pool",
            json!({ "bytes": percent * 17, "rate": percent * 4 }),
        )
        .await
}

async fn run(config: &Path, args: &[&str]) -> anyhow::Result<(Exit, Vec<Printed>)> {
    let config = config.display().to_string();
    let line = ["felhom-agent", "--config", &config]
        .into_iter()
        .chain(args.iter().copied());
    let cli = Cli::try_parse_from(line)?;
    let record = Arc::new(Mutex::new(Vec::new()));
    let printer = Printer {
        json: false,
        quiet: false,
        record: Some(Arc::clone(&record)),
    };
    let exit = cli::run_with(cli, printer).await;
    let all = record
        .lock()
        .map(|mut kept| std::mem::take(&mut *kept))
        .unwrap_or_default();
    Ok((exit, all))
}

fn volid(data: &Value) -> anyhow::Result<String> {
    data["volid"]
        .as_str()
        .map(str::to_owned)
        .context("the backup has no archive")
}

fn verdict(data: &Value) -> &str {
    at(data, "/verdict")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    value.pointer(pointer)
}

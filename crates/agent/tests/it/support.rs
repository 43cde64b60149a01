//! A box for a test: a simulated node in fast time, an agent equipped for it, and ways to look at both.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use felhom_agent::cli::{self, Cli};
use felhom_agent::config::{self, Template};
use felhom_agent::exit::Exit;
use felhom_agent::journal::Journal;
use felhom_agent::output::{Printed, Printer};
use felhom_agent::perform::Performer;
use felhom_agent::remote::Remotes;
use felhom_engine::*;
use felhom_ids::{Vmid, VolumeId};
use felhom_proxmox::{Client, Method, Pve, Request, Settings, Token, Trust};
use felhom_simulator::{Options, Running, Scenario, Simulator, Time};
use secrecy::SecretString;
use serde_json::Value;

/// Simulated seconds in a real one: a restore takes some tens of milliseconds.
pub(crate) const SPEED: f64 = 100.0;

/// Patience that fits fast time.
pub(crate) const FAST: &str = "[limits]\nsettle = \"300ms\"\nrequest = \"2s\"\nno_progress = \"5s\"\n\n\
    [backup]\nwait = \"5s\"\n\n\
    [restore-test]\nstable_for = \"50ms\"\nevidence_timeout = \"5s\"\nwait = \"5s\"\nmemory_mib = 256\n\n\
    [restore-test.floors]\nroot_mib = 16\n";

pub(crate) const AGENT: &str = "felhom-agent@pve!agent";
pub(crate) const TESTER: &str = "felhom-test@pve!restore-test";

/// The VMID that tests restore guests to for real.
pub(crate) const RESTORED: u32 = 9020;

pub(crate) struct Bench {
    pub(crate) world: Running,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) config: PathBuf,
}

pub(crate) fn vmid(number: u32) -> Vmid {
    Vmid::new(number).unwrap()
}

impl Bench {
    /// The built-in scenario.
    pub(crate) async fn new() -> Self {
        Self::with(FAST, None).await
    }

    /// The built-in scenario, or a copy of a world that was left somewhere.
    pub(crate) async fn with(extra: &str, copy_of: Option<&Path>) -> Self {
        Self::at(SPEED, extra, copy_of).await
    }

    /// The same at another speed.
    pub(crate) async fn at(speed: f64, extra: &str, copy_of: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("world");
        if let Some(origin) = copy_of {
            copy(origin, &state);
        }
        let options = Options {
            scenario: Scenario::BuiltIn,
            time: Time::Scaled(speed),
            ..Options::new(&state)
        };
        let world = Simulator::start(options).await.unwrap();
        let config = equip(&world, &directory.path().join("box"), extra);
        Self {
            world,
            directory,
            config,
        }
    }

    pub(crate) fn performer(&self) -> Performer {
        let config = config::load(&self.config).unwrap();
        let remotes = Remotes::new(&config).unwrap();
        Performer::new(config, remotes)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("box/agent-state")
    }

    pub(crate) async fn journal(&self) -> Journal {
        // A crashed predecessor's file handles close a moment after its task is gone.
        for _ in 0..100 {
            match Journal::open(&self.state_dir(), "test").await {
                Ok(journal) => return journal,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Journal::open(&self.state_dir(), "test").await.unwrap()
    }

    /// Runs a command line in this process.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        run(&self.config, args).await
    }

    /// A backup of the guest, made by the agent.
    pub(crate) async fn backup(&self, vmid: u32) -> VolumeId {
        let ran = self.run(&["backup", "run", &vmid.to_string()]).await;
        ran.data()["volid"]
            .as_str()
            .unwrap_or_else(|| panic!("no archive: {ran:?}"))
            .parse()
            .unwrap()
    }

    /// Scratch guests that the world knows, read from the world itself.
    pub(crate) fn scratch_guests(&self) -> Vec<String> {
        let guests = self.world.guests().into_iter();
        guests
            .map(|vmid| vmid.to_string())
            .filter(|vmid| vmid.starts_with("91"))
            .collect()
    }

    /// Volumes of scratch guests.
    pub(crate) fn scratch_volumes(&self) -> Vec<String> {
        let state = self.world.state();
        let volumes = state["world"]["volumes"].as_object().unwrap();
        volumes
            .keys()
            .filter(|name| name.contains("vm-91"))
            .cloned()
            .collect()
    }

    /// Volumes of the guest that tests restore for real.
    pub(crate) fn restored_volumes(&self) -> Vec<String> {
        let state = self.world.state();
        let volumes = state["world"]["volumes"].as_object().unwrap();
        let bears = format!("vm-{RESTORED}-");
        let names = volumes.keys().filter(|name| name.contains(&bears));
        names.cloned().collect()
    }

    /// What production guests look like: configuration and status, digests of what nobody may change.
    pub(crate) fn production(&self) -> BTreeMap<String, Value> {
        let state = self.world.state();
        let of = |kind: &str| state["world"][kind].as_object().unwrap();
        of("guests")
            .iter()
            .chain(of("machines"))
            .filter(|(vmid, _)| !vmid.starts_with("91") && **vmid != RESTORED.to_string())
            .map(|(vmid, guest)| {
                let seen = serde_json::json!([
                    guest["config"],
                    guest["status"],
                    guest["lock"],
                    guest["frozen"]
                ]);
                (vmid.clone(), seen)
            })
            .collect()
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) printed: Vec<Printed>,
}

impl Ran {
    /// The document's data; null when there is none.
    pub(crate) fn data(&self) -> Value {
        self.printed
            .iter()
            .find_map(|one| match one {
                Printed::Document { data, .. } => Some(data.clone()),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// Everything that a person would have read.
    pub(crate) fn text(&self) -> String {
        let lines = self.printed.iter().map(|one| match one {
            Printed::Document { text, .. } => text.clone(),
            Printed::Narration(line) => line.clone(),
            Printed::Failure(code, message) => format!("error [{code}]: {message}"),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

pub(crate) async fn run(config: &Path, args: &[&str]) -> Ran {
    let config = config.display().to_string();
    let line = ["felhom-agent", "--config", &config]
        .into_iter()
        .chain(args.iter().copied());
    let cli = Cli::try_parse_from(line).unwrap();
    let record = Arc::new(Mutex::new(Vec::new()));
    let printer = Printer {
        json: false,
        quiet: false,
        record: Some(Arc::clone(&record)),
    };
    let exit = cli::run_with(cli, printer).await;
    let kept = std::mem::take(&mut *record.lock().unwrap());
    Ran {
        exit,
        printed: kept,
    }
}

pub(crate) fn equip(world: &Running, directory: &Path, extra: &str) -> PathBuf {
    std::fs::create_dir_all(directory).unwrap();
    let tokens = world.tokens();
    for (token, name) in [(AGENT, "agent"), (TESTER, "tester")] {
        secret(&directory.join(name), &tokens[token], 0o600);
    }
    let dump = world
        .state_dir()
        .join("storage/local/dump")
        .display()
        .to_string();
    let template = Template {
        node: world.node(),
        url: world.url(),
        fingerprint: world.fingerprint(),
        state_dir: "agent-state".into(),
        agent: (AGENT.into(), "agent".into()),
        restore_test: (TESTER.into(), "tester".into()),
        archives: vec![("local".into(), dump)],
        extra: with_host(world, extra),
    };
    let path = directory.join("agent.toml");
    std::fs::write(&path, template.to_toml()).unwrap();
    path
}

/// Further sections with that of the world's root helper, unless they name another.
fn with_host(world: &Running, extra: &str) -> String {
    if extra.contains("[host]") {
        return extra.to_owned();
    }
    let socket = world.host_socket();
    format!("[host]\nsocket = \"{}\"\n\n{extra}", socket.display())
}

pub(crate) fn secret(path: &Path, text: &str, mode: u32) {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a real Docker engine printed, the files of one whole report.
pub(crate) fn recorded_report() -> [String; 6] {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recorded = recorded.join("../protocol/tests/fixtures/docker-20.10");
    let names = ["info", "volume-ls", "volumes", "containers", "images", "df"];
    names.map(|name| {
        let path = recorded.join(format!("{name}.json"));
        path.canonicalize().unwrap().display().to_string()
    })
}

/// Waits until no task runs.
pub(crate) async fn settled(bench: &Bench) {
    eventually("no task runs", || {
        bench.world.state()["running_tasks"] == serde_json::json!([])
    })
    .await;
}

/// Waits, bounded, until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

pub(crate) fn test_job(bench: &Bench, journal: &Journal, volid: &VolumeId, bits: u64) -> Job {
    let id = JobId::from_bits(bits);
    let config = config::load(&bench.config).unwrap();
    let request = RestoreTestRequest {
        volid: volid.clone(),
        installation: journal.installation().clone(),
        job: id.clone(),
        nonce: 77,
        policy: config.restore_test_policy,
        leased: vec![],
        content_bytes: Some(8 << 20),
    };
    let kind = JobKind::RestoreTest(Box::new(RestoreTestJob::new(request)));
    Job {
        id,
        created: felhom_agent::clock::now(),
        kind,
    }
}

/// A restore that stays, beside the original, started when it is as planned.
pub(crate) fn restore_job(
    bench: &Bench,
    installation: &InstallationId,
    volid: &VolumeId,
    bits: u64,
) -> Job {
    let id = JobId::from_bits(bits);
    let config = config::load(&bench.config).unwrap();
    let request = RestoreRunRequest {
        volid: volid.clone(),
        to: vmid(RESTORED),
        identity: Identity::Fresh,
        hostname: None,
        storage: None,
        without_empty: false,
        link_down: false,
        start: true,
        installation: installation.clone(),
        job: id.clone(),
        policy: RestoreRunPolicy::from(&config.restore_test_policy),
        content_bytes: Some(8 << 20),
    };
    let kind = JobKind::RestoreRun(Box::new(RestoreRunJob::new(request)));
    Job {
        id,
        created: felhom_agent::clock::now(),
        kind,
    }
}

pub(crate) fn backup_job(bench: &Bench, journal: &Journal, number: u32, bits: u64) -> Job {
    backup_job_after(None, bench, journal, number, bits)
}

/// The same after a good backup that held this.
pub(crate) fn backup_job_after(
    former: Option<FormerBackup>,
    bench: &Bench,
    journal: &Journal,
    number: u32,
    bits: u64,
) -> Job {
    let id = JobId::from_bits(bits);
    let config = config::load(&bench.config).unwrap();
    let mark = Mark {
        installation: journal.installation().clone(),
        job: id.clone(),
        vmid: vmid(number),
    };
    let request = BackupRequest {
        vmid: vmid(number),
        mark,
        policy: config.backup,
        volumes: None,
        former: former.map(Box::new),
    };
    let kind = JobKind::Backup(Box::new(BackupJob::new(request)));
    Job {
        id,
        created: felhom_agent::clock::now(),
        kind,
    }
}

pub(crate) fn exercise_job(bench: &Bench, journal: &Journal, number: u32, bits: u64) -> Job {
    let id = JobId::from_bits(bits);
    let config = config::load(&bench.config).unwrap();
    let mark = Mark {
        installation: journal.installation().clone(),
        job: id.clone(),
        vmid: vmid(number),
    };
    let name = format!("felhom-{id}").parse().unwrap();
    let exercise = ExerciseJob::new(mark, name, config.backup.no_progress, config.backup.settle);
    Job {
        id,
        created: felhom_agent::clock::now(),
        kind: JobKind::Exercise(Box::new(exercise)),
    }
}

/// A guard that is to be opened, to be confirmed within ten minutes. Its job's name is 6.
pub(crate) fn guard_draft(journal: &Journal, number: u32) -> OpenGuard {
    let job = JobId::from_bits(6);
    OpenGuard {
        snapshot: format!("felhom-guard-{job}").parse().unwrap(),
        mark: Mark {
            installation: journal.installation().clone(),
            job,
            vmid: vmid(number),
        },
        made_by: None,
        begun: Reading::default(),
        confirm_within: Duration::from_mins(10),
        on_expiry: OnExpiry::Rollback,
        ran: false,
        volumes: [].into(),
        beyond_backup: vec![],
        rollbacks: [].into(),
        phase: GuardPhase::Open,
    }
}

/// A job about a guard, under the name of the job that made it: the journal of another box does not know that one.
pub(crate) fn guard_job(
    bench: &Bench,
    guard: OpenGuard,
    make: impl FnOnce(OpenGuard, GuardPolicy) -> GuardJob,
) -> Job {
    let config = config::load(&bench.config).unwrap();
    Job {
        id: guard.mark.job.clone(),
        created: felhom_agent::clock::now(),
        kind: JobKind::Guard(Box::new(make(guard, config.guard))),
    }
}

/// What guests look like apart from the snapshots of guards.
pub(crate) fn without_guards(mut guests: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for guest in guests.values_mut() {
        let config = guest[0].as_str().unwrap_or_default();
        let before = config.split("\n[felhom-guard-").next().unwrap_or_default();
        let lines = before.lines();
        let kept: Vec<&str> = lines
            .filter(|line| !line.starts_with("parent: felhom-guard-"))
            .collect();
        guest[0] = kept.join("\n").trim_end().into();
    }
    guests
}

/// The snapshots of guards on a guest.
pub(crate) fn guard_snapshots(bench: &Bench, number: u32) -> usize {
    let guest = &bench.world.state()["world"]["guests"][number.to_string()];
    guest["config"]
        .to_string()
        .matches("[felhom-guard-")
        .count()
}

impl Bench {
    /// The person at the console: `root@pam!root` may what the agent's tokens may not.
    pub(crate) fn root(&self) -> Pve {
        let secret = SecretString::from(self.world.tokens()["root@pam!root"].clone());
        let token = Token::new("root@pam!root".parse().unwrap(), &secret);
        let address = self.world.address().to_string().parse().unwrap();
        let trust = Trust::PinnedLeaf(self.world.fingerprint().parse().unwrap());
        let client = Client::new(Settings::new(address, token, trust)).unwrap();
        Pve::new(client, self.world.node().parse().unwrap())
    }

    /// Takes a privilege out of one of the roles that the built-in principals hold.
    pub(crate) async fn revoke(&self, role: &str, privilege: &str) {
        let root = self.root();
        let read = Request::new(Method::Get, &[&"access", &"roles", &role]);
        let held: BTreeMap<String, Value> = root.client().send(&read).await.unwrap();
        let left = held
            .keys()
            .filter(|held| *held != privilege)
            .cloned()
            .collect::<Vec<_>>()
            .join(",");
        let write = Request::new(Method::Put, &[&"access", &"roles", &role]).with("privs", left);
        let () = root.client().send(&write).await.unwrap();
    }

    /// Rewrites the configuration file.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, change(text)).unwrap();
    }

    /// Changes a guest behind the API's back.
    pub(crate) async fn poke(&self, vmid: u32, change: Value) {
        self.world.poke_guest(vmid, change).await.unwrap();
    }

    /// Mutations that the world carried out, but for those that the simulator's own root was let do.
    pub(crate) fn mutations(&self) -> BTreeMap<String, u64> {
        let mut counts = self.world.counts();
        counts.retain(|what, _| !what.contains("/access/"));
        counts
    }

    /// Jobs that the journal knows, ended or not; 0 where there is no journal.
    pub(crate) async fn jobs(&self) -> i64 {
        let path = self.state_dir().join("journal.sqlite");
        if !path.exists() {
            return 0;
        }
        let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
            .await
            .unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM jobs")
            .fetch_one(&pool)
            .await
            .unwrap();
        pool.close().await;
        count
    }

    /// Runs the real program to its end, with what a person types.
    pub(crate) async fn program(&self, args: &[&str], typed: &str) -> Output {
        let mut command = program(&self.config, args);
        let typed = typed.to_owned();
        let run = move || {
            use std::io::Write;
            let mut child = command.spawn().unwrap();
            // It may end without reading.
            drop(child.stdin.take().unwrap().write_all(typed.as_bytes()));
            child.wait_with_output().unwrap()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        Output {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: without_root(&String::from_utf8(output.stderr).unwrap()),
        }
    }
}

/// What the program says when tests run as root on a machine without its user says nothing of the command.
fn without_root(stderr: &str) -> String {
    let told = stderr.split_inclusive('\n');
    told.filter(|line| !line.contains("running as root, because"))
        .collect()
}

/// What the real program printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// None when a signal ended it.
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The one document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The real program, ready to be started: not one of our variables in its environment, all of its channels held.
#[expect(
    clippy::disallowed_types,
    reason = "the program under test is another process"
)]
pub(crate) fn program(config: &Path, args: &[&str]) -> std::process::Command {
    use std::process::{Command, Stdio};
    let mut command = Command::new(env!("CARGO_BIN_EXE_felhom-agent"));
    command.arg("--config").arg(config).args(args);
    command.env_remove("FELHOM_CONFIG").env_remove("FELHOM_LOG");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

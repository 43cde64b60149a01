//! The parser against a live engine, which the test starts and ends itself. It has its own data, socket and namespaces: no
//! other engine of the machine sees it, and the kernel ends all of it when the test ends, in whatever way.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use felhom_protocol::docker::{self, COMMANDS, Input};
use felhom_protocol::volumes::{Coverage, Extent, Source, VolumeReport};

use crate::scene::{assert_told, container};

#[expect(
    clippy::disallowed_types,
    reason = "the engine under test is another process"
)]
fn command(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

/// First process of namespaces of its own: the daemon and all that it starts end with it, and it ends with its standard
/// input. What runs is removed before that: a paused process cannot even be killed, and control groups would stay behind.
/// Daemons to 24 keep a key below `/etc`, which is none of this test's business.
const KEEPER: &str = r#"
if [ -d /etc/docker ]; then mount -t tmpfs tmpfs /etc/docker; fi
dockerd --config-file "$1/daemon.json" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" \
  -H "unix://$1/docker.sock" --bridge=none --iptables=false --ip6tables=false >"$1/log" 2>&1 </dev/null &
cat >/dev/null
export DOCKER_HOST="unix://$1/docker.sock"
docker ps -aq | timeout 60 xargs -r docker rm -f >/dev/null 2>&1
"#;

struct Engine {
    keeper: Child,
    directory: tempfile::TempDir,
}

impl Engine {
    /// An engine of our own, or why there is none here.
    fn start() -> Result<Self, String> {
        for program in ["dockerd", "docker", "unshare", "tar", "xargs", "busybox"] {
            let found = command("sh")
                .args(["-c", &format!("command -v {program}")])
                .output();
            if !found.is_ok_and(|found| found.status.success()) {
                return Err(format!("no `{program}` here"));
            }
        }
        let dynamic = command("sh")
            .args(["-c", "ldd \"$(command -v busybox)\""])
            .output();
        if dynamic.is_ok_and(|dynamic| dynamic.status.success()) {
            return Err("the `busybox` here is not static".to_owned());
        }
        let root = command("id").arg("-u").output().unwrap();
        if root.stdout != b"0\n" {
            return Err("only root can start an engine".to_owned());
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("daemon.json"), "{}").unwrap();
        let keeper = command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", KEEPER, "keeper"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let engine = Self { keeper, directory };
        engine.answers().map(|()| engine)
    }

    fn answers(&self) -> Result<(), String> {
        let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
        for _ in 0..600 {
            if self.try_shell("docker version").is_ok() {
                return Ok(());
            }
            if log().contains("failed to start daemon") {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let last = log().lines().last().unwrap_or("it says nothing").to_owned();
        Err(format!("dockerd does not start: {last}"))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn try_shell(&self, script: &str) -> Result<String, String> {
        let output = command("sh")
            .args(["-c", script, "sh"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scene.sh"))
            .args([self.path("busybox.tar"), self.path("srv")])
            .env(
                "DOCKER_HOST",
                format!("unix://{}", self.path("docker.sock").display()),
            )
            .env_remove("DOCKER_CONTEXT")
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8(output.stdout).unwrap())
    }

    fn shell(&self, script: &str) -> String {
        self.try_shell(script)
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Lines of what the client prints.
    fn lines(&self, script: &str) -> BTreeSet<String> {
        self.shell(script).lines().map(str::to_owned).collect()
    }

    /// The report, from the documented commands in one stream.
    fn report(&self) -> VolumeReport {
        let stream = self.shell(&COMMANDS.join("\n"));
        let input = Input {
            name: "standard input",
            bytes: stream.as_bytes(),
        };
        docker::read(&[input]).unwrap()
    }

    fn make_scene(&self) {
        let files = self.path("files/bin");
        std::fs::create_dir_all(&files).unwrap();
        self.shell(&format!(
            r#"cp "$(command -v busybox)" "{0}/busybox" &&
            for name in sh sleep true head mkdir echo; do ln -s busybox "{0}/$name"; done &&
            tar -C "{0}/.." -cf "$2" . && sh "$1" "$2" "$3""#,
            files.display()
        ));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

fn says_no(what: &str) {
    let required = std::env::var("FELHOM_DOCKER").is_ok_and(|value| value == "required");
    assert!(!required, "FELHOM_DOCKER=required, and {what}");
    let line = format!("skipped: a_live_engine_is_told_as_it_tells_itself: {what}");
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").unwrap();
}

#[test]
fn a_live_engine_is_told_as_it_tells_itself() {
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => return says_no(&why),
    };
    let empty = engine.report();
    assert!(empty.volumes.is_empty() && empty.containers.is_empty());

    engine.make_scene();
    let report = engine.report();
    assert_told(&report, &engine.path("srv").display().to_string());
    let all = Coverage {
        volumes: Extent::All,
        containers: Extent::All,
    };
    assert_eq!(report.coverage, all);
    itself(&engine, &report);
    by_mounts(&engine, &report);
    later(&engine);
}

/// Names, paths and the engine itself, by other commands and templates than those that made the report.
fn itself(engine: &Engine, report: &VolumeReport) {
    let volumes = report.volumes.iter();
    let volumes: BTreeSet<_> = volumes
        .map(|volume| format!("{} {} {}", volume.name, volume.driver, volume.mountpoint))
        .collect();
    let told = engine.lines("docker volume ls --format '{{.Name}} {{.Driver}} {{.Mountpoint}}'");
    assert_eq!(volumes, told);
    let containers = report.containers.iter();
    let containers: BTreeSet<_> = containers
        .map(|one| format!("{} {} {} {}", one.id, one.name, one.image, one.state))
        .collect();
    let told =
        engine.lines("docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.State}}'");
    assert_eq!(containers, told);
    let known = report.engine.as_ref().unwrap();
    let driver = known.storage_driver.as_deref().unwrap();
    let told =
        engine.shell("docker info --format '{{.ServerVersion}} {{.DockerRootDir}} {{.Driver}}'");
    assert_eq!(
        format!("{} {} {driver}", known.version, known.data_root),
        told.trim()
    );
}

/// The engine finds the same containers by what they mount.
fn by_mounts(engine: &Engine, report: &VolumeReport) {
    for volume in &report.volumes {
        let users = report.containers.iter().filter(|one| {
            one.mounts.iter().any(
                |mount| matches!(&mount.source, Source::Volume { name } if *name == volume.name),
            )
        });
        let users: BTreeSet<_> = users.map(|one| one.name.clone()).collect();
        let filter = format!(
            "docker ps -a --filter volume={} --format '{{{{.Names}}}}'",
            volume.name
        );
        assert_eq!(users, engine.lines(&filter), "{}", volume.name);
    }
    let unused = engine.lines("docker volume ls -q --filter dangling=true");
    assert_eq!(unused, BTreeSet::from(["unused".to_owned()]));
}

/// What goes and what stops is told at the next look.
fn later(engine: &Engine) {
    engine.shell("docker volume rm unused >/dev/null && docker rm -v ended >/dev/null");
    engine.shell("docker kill nested >/dev/null && docker wait nested >/dev/null");
    engine.shell("docker update --restart=always options >/dev/null");
    let report = engine.report();
    assert!(report.volumes.iter().all(|volume| volume.name != "unused"));
    assert!(report.containers.iter().all(|one| one.name != "ended"));
    let nested = container(&report, "nested");
    assert_eq!((nested.running, nested.state.as_str()), (false, "exited"));
    assert_eq!(container(&report, "options").restart_policy, "always");
}

//! The commands of a placement plan, typed into a shell beside a real Docker engine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use felhom_engine::volumes::*;
use felhom_engine::{BackupMode, GuestConfig, Mount, MountSource, Timestamp};

use crate::scene::tell;

/// What the shell does before: a world of its own for everything that is mounted or written, and an engine in it.
const BEFORE: &str = r#"
mount --bind "$T/var-lib" /var/lib
mount --bind "$T/root" /root
mount --bind "$T/mnt" /mnt
export DOCKER_HOST="unix://$T/docker.sock"
dockerd --host "$DOCKER_HOST" --exec-root "$T/exec" --pidfile "$T/docker.pid" --storage-driver vfs \
  --bridge=none --iptables=false --ip6tables=false >"$T/docker.log" 2>&1 &
engine=$!
trap 'kill $engine; wait $engine || true' EXIT
for _ in $(seq 300); do docker version >/dev/null 2>&1 && break; sleep 0.1; done
tar -C "$T/image" -c . | docker import - probe:1 >/dev/null
docker volume create --label keep='two words' films >/dev/null
player() { docker run -d --name player --network none -v films:/films probe:1 /bin/sh -c 'while :; do read x; done' </dev/null >/dev/null; }
player
data=/var/lib/docker/volumes/films/_data
mkdir -p "$data/a dir/deep"
printf 'holiday' >"$data/a dir/holiday film.mkv"
printf 'quote' >"$data/it's \$odd"
truncate -s 1M "$data/sparse"
ln "$data/sparse" "$data/a dir/linked"
ln -s "deep/nowhere" "$data/a dir/dangling"
mkfifo "$data/fifo"
chown 1234:4321 "$data/a dir"
chmod 0751 "$data/a dir"
# What the node's half of the plan makes.
mkdir -p /mnt/felhom/films
mount -t tmpfs -o mode=0755 none /mnt/felhom/films
mkdir /mnt/felhom/films/lost+found
before=$(cd "$data" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
"#;

/// What a person does when the plan says so, and what must be true then.
const AFTER: &str = r#"
player
inside=$(docker exec player /bin/cat '/films/a dir/holiday film.mkv')
test "$inside" = holiday
device=$(docker volume inspect --format '{{.Options.device}}' films)
test "$device" = /mnt/felhom/films/data
test "$(docker volume inspect --format '{{.Labels.keep}}' films)" = 'two words'
test "$(docker volume inspect --format '{{index .Labels "felhom.class"}}' films)" = bulk
after=$(cd /mnt/felhom/films/data && find . -type f -print0 | sort -z | xargs -0 sha256sum)
test "$before" = "$after"
test "$(stat -c '%u:%g %a' '/mnt/felhom/films/data/a dir')" = '1234:4321 751'
test "$(readlink '/mnt/felhom/films/data/a dir/dangling')" = deep/nowhere
aside=$(cd /var/lib/felhom/set-aside/films && find . -type f -print0 | sort -z | xargs -0 sha256sum)
test "$before" = "$aside"
"#;

/// What must be true when the volume is to be removed and its data is still there.
const WHOLE: &str = r#"
docker volume inspect films >/dev/null
test "$before" = "$(cd "$data" && find . -type f -print0 | sort -z | xargs -0 sha256sum)"
"#;

const END: &str = r#"
test ! -e /var/lib/felhom/set-aside/films
test -e '/mnt/felhom/films/data/a dir/holiday film.mkv'
# Nothing of it is left where the rootfs is.
test -z "$(find /var/lib/docker/volumes/films/_data -xdev -type f)" || findmnt /var/lib/docker/volumes/films/_data >/dev/null
docker rm -f player >/dev/null
echo played
"#;

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("root");
    }
    for program in ["dockerd", "docker", "busybox", "unshare", "findmnt"] {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|one| one.join(program).is_file())
        });
        if !found {
            return Some(program);
        }
    }
    None
}

fn trap() -> (JudgedVolumes, GuestConfig, Inventory) {
    let config = GuestConfig {
        keys: ["rootfs".to_owned()].into(),
        mounts: vec![Mount {
            key: "rootfs".into(),
            path: "/".into(),
            source: MountSource::Volume("local-lvm:vm-9010-disk-0".parse().unwrap()),
            backup: false,
            size: None,
        }],
        ..GuestConfig::default()
    };
    let mounts = vec![ContainerMount {
        source: Mounted::Volume("films".into()),
        destination: "/films".into(),
        read_only: false,
    }];
    let inventory = Inventory {
        taken: Timestamp::from_secs(0),
        data_root: "/var/lib/docker".into(),
        storage_driver: Some("vfs".into()),
        volumes: vec![DockerVolume {
            name: "films".into(),
            driver: "local".into(),
            options: BTreeMap::new(),
            labels: BTreeMap::from([("felhom.class".into(), "bulk".into())]),
            mountpoint: "/var/lib/docker/volumes/films/_data".into(),
            anonymous: false,
            size: Some(1 << 20),
            described: true,
        }],
        containers: vec![Container {
            name: "player".into(),
            image: "probe:1".into(),
            image_digest: None,
            project: None,
            service: None,
            running: true,
            restart_policy: "no".into(),
            labels: BTreeMap::new(),
            mounts,
        }],
        coverage: Coverage {
            volumes: Extent::All,
            containers: Extent::All,
        },
    };
    let policy = VolumePolicy::default();
    let vmid = "9010".parse().unwrap();
    (
        JudgedVolumes::judge(vmid, &config, &inventory, &policy),
        config,
        inventory,
    )
}

/// The guest's half of the plan, up to where a person is asked to make the containers anew, and what comes after.
fn commands() -> (String, String) {
    let (judged, config, inventory) = trap();
    let archive = "local:backup/vzdump-lxc-9010-2026_11_20-01_00_00.tar.zst";
    let setting = PlacementSetting {
        node: "pve".parse().unwrap(),
        storage: "local-lvm".parse().unwrap(),
        avail: None,
        sizes: BTreeMap::new(),
        labels: BTreeMap::from([(
            "films".to_owned(),
            BTreeMap::from([("keep".to_owned(), "two words".to_owned())]),
        )]),
        last_archives: BTreeMap::from([("films".to_owned(), archive.parse().unwrap())]),
        backups: "local".parse().unwrap(),
        mode: BackupMode::Snapshot,
        last_size: None,
        only: Vec::new(),
    };
    let plan = plan_placement(&judged, &config, &inventory, &setting);
    let (mut first, mut last) = (String::new(), String::new());
    let mut switched = false;
    for step in &plan.moves[0].steps {
        switched |= matches!(step.action, PlacementAction::StartContainers { .. });
        if matches!(step.action, PlacementAction::SetAside { .. }) {
            let mut steps = plan.moves[0].steps.iter();
            let recreate =
                steps.find(|step| matches!(step.action, PlacementAction::RecreateVolume { .. }));
            let removes = recreate.unwrap().action.commands(plan.vmid).remove(0);
            // Typed before its turn.
            write!(first, "if {{ {removes}\n}}; then exit 8; fi\n{WHOLE}").unwrap();
        }
        if step.side == Side::Guest {
            let half = if switched { &mut last } else { &mut first };
            for command in step.action.commands(plan.vmid) {
                // What fails in the middle of a chain does not end a shell by itself.
                writeln!(half, "{{ {command}\n}} || exit 9").unwrap();
            }
        }
    }
    (first, last)
}

fn image(root: &Path) {
    let bin = root.join("image/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let busybox = std::env::split_paths(&path)
        .map(|one| one.join("busybox"))
        .find(|one| one.is_file())
        .unwrap();
    for name in ["sh", "cat"] {
        std::fs::copy(&busybox, bin.join(name)).unwrap();
    }
    for made in ["var-lib", "root", "mnt", "exec"] {
        std::fs::create_dir_all(root.join(made)).unwrap();
    }
}

/// A shell whose mounts are its own.
#[expect(
    clippy::disallowed_types,
    reason = "the commands of the plan are typed into a real shell"
)]
fn shell(directory: &Path, script: &str) -> std::process::Output {
    std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-c", script])
        .env("T", directory)
        .output()
        .unwrap()
}

/// A machine that must have an engine fails without one; any other says by name what it left out.
fn says_no(what: &str) {
    let required = std::env::var("FELHOM_DOCKER").is_ok_and(|value| value == "required");
    assert!(!required, "FELHOM_DOCKER=required, and {what}");
    tell(&format!("skipped: {NAME}: {what}"));
}

const NAME: &str = "a_plans_commands_move_a_volume_of_a_real_engine_and_lose_nothing";

#[test]
fn a_plans_commands_move_a_volume_of_a_real_engine_and_lose_nothing() {
    if let Some(what) = missing() {
        return says_no(&format!("there is no {what} here"));
    }
    let directory = tempfile::tempdir().unwrap();
    image(directory.path());
    let (first, last) = commands();
    assert!(first.contains("docker volume create"), "{first}");
    let script = format!("set -eu\n{BEFORE}\nset -x\n{first}\n{AFTER}\n{last}\n{END}");
    let output = shell(directory.path(), &script);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.ends_with("played\n"),
        "{told}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        std::fs::read_to_string(directory.path().join("docker.log")).unwrap_or_default()
    );
}

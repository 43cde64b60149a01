//! SPEC invariant 11: who speaks to the network starts no process, and who starts processes speaks to no network.

use std::collections::{BTreeMap, BTreeSet};

use super::{crates, manifest, ours, root, sources};

/// What a program has to name that starts a process, in Rust's library, in tokio's, and below both.
const PROCESS: [&str; 12] = [
    "process::Command",
    "tokio::process",
    "CommandExt",
    "process::Child",
    "process::Stdio",
    "posix_spawn",
    "execve",
    "execv(",
    "fork(",
    "libc::",
    "nix::",
    "duct::",
];

/// What speaks to a network, by the names of the crates.
const NETWORK: [&str; 15] = [
    "http",
    "http-body",
    "httparse",
    "hyper",
    "hyper-util",
    "h2",
    "reqwest",
    "ureq",
    "rustls",
    "tokio-rustls",
    "native-tls",
    "openssl",
    "tokio",
    "curl",
    "lettre",
];

/// What in this text starts a process; names that a brace gathers (`process::{Command, …}`) are found as well.
fn starts_processes(text: &str) -> Option<&'static str> {
    let stands_alone = |at: usize| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    };
    let is_named = |name: &str| text.match_indices(name).any(|(at, _)| stands_alone(at));
    let plain = PROCESS.iter().find(|name| is_named(name));
    let gathered = text.split("process::{").skip(1).any(|rest| {
        let names = rest.split('}').next().unwrap_or_default();
        names.split(',').any(|name| {
            let name = name.split_whitespace().next().unwrap_or_default();
            ["Command", "Child", "Stdio"].contains(&name)
        })
    });
    plain.copied().or(gathered.then_some("process::{Command}"))
}

#[test]
fn only_one_module_of_the_fence_starts_processes() {
    let perform = root().join("crates/host/src/perform.rs");
    let mut found = false;
    for name in crates() {
        for (path, text) in sources(&name) {
            let starts = starts_processes(&text);
            if path == perform {
                found = starts.is_some();
                continue;
            }
            assert_eq!(starts, None, "{}", path.display());
        }
    }
    assert!(found, "perform.rs starts no process any more");
}

#[test]
fn the_search_finds_every_way_to_start_a_process() {
    for starts in [
        "use std::process::Command;",
        "std::process::Command::new(\"sh\")",
        "use tokio::process::Command as Run;",
        "use std::process::{Command, Stdio};",
        "use std::process::{ExitCode, Command as Run};",
        "use std::os::unix::process::CommandExt;",
        "unsafe { libc::system(line) }",
    ] {
        assert!(starts_processes(starts).is_some(), "{starts}");
    }
    for fine in [
        "use std::process::ExitCode;",
        "use std::process::{ExitCode, id};",
        "use rustix::process::{Pid, getuid};",
        "use std::os::unix::fs::MetadataExt;",
        "clap::Command::new(\"felhom-agent\")",
    ] {
        assert_eq!(starts_processes(fine), None, "{fine}");
    }
}

/// Every package → those that it is built with, of all platforms and features that the lock file holds.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap().to_owned();
        let uses = package.get("dependencies").and_then(toml::Value::as_array);
        let uses = uses.into_iter().flatten().filter_map(toml::Value::as_str);
        // Where two versions are there, the version stands behind the name.
        let uses = uses.filter_map(|used| used.split(' ').next());
        all.entry(name).or_default().extend(uses.map(str::to_owned));
    }
    all
}

/// What a package's product is built with; what only its tests use is in the lock file as well, and left out.
fn product(name: &str) -> BTreeSet<String> {
    let locked = locked();
    let manifest = manifest(name);
    let mut open: Vec<String> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if !seen.insert(next.clone()) {
            continue;
        }
        if let Some(own) = next.strip_prefix("felhom-") {
            open.extend(product(own));
        } else {
            open.extend(locked.get(&next).cloned().unwrap_or_default());
        }
    }
    seen
}

#[test]
fn the_fence_is_built_with_nothing_that_speaks_to_a_network() {
    let host = product("host");
    assert!(
        host.contains("rustix") && host.contains("felhom-ids"),
        "{host:?}"
    );
    for network in NETWORK {
        assert!(
            !host.contains(network),
            "the fence is built with `{network}`"
        );
    }
    // The same search finds them where they are meant to be.
    assert!(product("proxmox").contains("hyper"));
    for (path, text) in sources("host") {
        for outside in [
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            "AddressFamily::INET",
        ] {
            assert!(!text.contains(outside), "`{outside}` in {}", path.display());
        }
    }
}

#[test]
fn nobody_but_its_own_program_uses_the_daemons_half() {
    for name in crates() {
        if name == "host" || !ours(&manifest(&name), "dependencies").contains("host") {
            continue;
        }
        for (path, text) in sources(&name) {
            for half in [
                "felhom_host::serve",
                "felhom_host::Layout",
                "felhom_host::Limits",
                "serve_on",
            ] {
                assert!(!text.contains(half), "`{half}` in {}", path.display());
            }
        }
    }
}

/// What the agent names that opens a connection by itself, instead of asking the pinned client.
const OUTSIDE: [&str; 9] = [
    "TcpStream",
    "UdpSocket",
    "hyper::",
    "hyper_util::",
    "tokio_rustls::",
    "rustls::",
    "rustls_native_certs::",
    "lettre::",
    "ToSocketAddrs",
];

#[test]
fn only_notifications_go_to_anybody_but_the_pinned_servers() {
    let agent = root().join("crates/agent/src");
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for (path, text) in sources("agent") {
        let name = path.strip_prefix(&agent).unwrap();
        let named = OUTSIDE.into_iter().filter(|outside| text.contains(outside));
        if name.starts_with("notify") || name == std::path::Path::new("notify.rs") {
            found.extend(named);
            continue;
        }
        let named: Vec<_> = named.collect();
        assert!(named.is_empty(), "{named:?} in {}", path.display());
    }
    // The same search finds them where they are meant to be.
    for outside in ["TcpStream", "hyper::", "tokio_rustls::", "lettre::"] {
        assert!(found.contains(outside), "{outside} is nowhere");
    }
}

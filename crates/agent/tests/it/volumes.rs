//! Reports on Docker volumes: taken up, compared with the last one, shown, and never inherited; what follows from them.

mod contents;
mod docker;
mod engine;
mod matrix;
mod negative;
mod plan;
mod scenarios;

use felhom_agent::exit::Exit;
use felhom_agent::journal::Journal;
use felhom_agent::output::Printed;
use serde_json::json;

use crate::support::*;

/// The recorded report in one stream, as the documented commands print it.
fn stream() -> String {
    let files = recorded_report();
    let texts = files.map(|file| std::fs::read_to_string(file).unwrap());
    texts.concat()
}

async fn import(bench: &Bench, text: &str, more: &[&str]) -> Output {
    let args = [&["volumes", "import", "9001", "-"], more].concat();
    bench.program(&args, text).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_taken_up_from_a_pipe_and_shown_as_a_table() {
    let bench = Bench::new().await;
    let ran = import(&bench, &stream(), &[]).await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "the report on 9001 is taken up: 20 volume(s), 9 of them anonymous, and 10 container(s) of Docker \
         20.10.24+dfsg1 with its data in /var/lib/docker\n"
    );
    let shown = bench.program(&["volumes", "show", "9001"], "").await;
    assert_eq!(shown.exit, Some(3), "there is much to find: {shown:?}");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert!(
        lines[0].starts_with("guest 9001, told ")
            && lines[0].ends_with(
                "20 volume(s), 10 container(s), Docker's data in /var/lib/docker (rootfs)"
            ),
        "{shown:?}"
    );
    let row = |name: &str| {
        let found = lines
            .iter()
            .find(|line| line.split_whitespace().any(|word| word == name));
        let found = found.unwrap_or_else(|| panic!("no row of `{name}`: {}", shown.stdout));
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (name, expected) in [
        ("unused", "unused local 0 B ? rootfs in"),
        (
            "a-Very_odd.NAME-0",
            "a-Very_odd.NAME-0 local 2 B ? rootfs in nested /data",
        ),
        (
            "on-nfs",
            "on-nfs local (nfs) ? nfs `:/export/media` out remote (stopped)",
        ),
        (":/export/media", "= :/export/media /nfs"),
        ("on-mp2", "on-mp2 local ? rootfs in remote (stopped)"),
        (
            "in-memory",
            "in-memory local (tmpfs) - memory - options /memory",
        ),
        (
            "bulk.media",
            "bulk.media local 0 B bulk: its label rootfs in nested",
        ),
        (
            "/srv/settings.ini",
            "/srv/settings.ini bind ? rootfs in nested",
        ),
    ] {
        assert_eq!(row(name), expected, "{}", shown.stdout);
    }
    // Another container has it too, on a line of its own.
    assert_eq!(row("paused"), "paused /anonymous:ro");
    assert!(bench.mutations().is_empty() && bench.jobs().await == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_report_says_what_differs_and_a_rehearsal_keeps_nothing() {
    let bench = Bench::new().await;
    let dry = import(&bench, &stream(), &["--dry-run"]).await;
    assert_eq!(dry.exit, Some(0), "{dry:?}");
    assert!(dry.stdout.contains("would be taken up: 20"), "{dry:?}");
    assert!(!bench.state_dir().exists(), "not even a journal is made");

    import(&bench, &stream(), &[]).await;
    let later = stream()
        .replace("\"unused\"", "\"fresh\"")
        .replace("/unused/", "/fresh/")
        .replace("nfsvers=4", "nfsvers=3")
        .replace("unless-stopped", "always")
        .replace("\"1.5MB\"", "\"2.5GB\"");
    for (more, verb) in [(&["--dry-run"][..], "would be"), (&[], "is")] {
        let ran = import(&bench, &later, more).await;
        assert_eq!(ran.exit, Some(0), "{ran:?}");
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert!(lines[0].contains(&format!("9001 {verb} taken up")));
        assert!(lines[1].starts_with("  since the report of 20"), "{ran:?}");
        assert_eq!(
            lines[2..],
            [
                "  new volumes: fresh",
                "  gone volumes: unused",
                "  changed volumes: on-nfs",
                "  changed containers: paperless-db-1"
            ]
        );
    }
    let again = import(&bench, &later, &[]).await;
    assert!(
        again.stdout.contains("nothing differs from the report of"),
        "{again:?}"
    );
    let shown = bench.run(&["volumes", "show", "9001"]).await.text();
    assert!(
        shown.contains("fresh") && shown.contains("2.3 GiB"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_vmid_does_not_inherit_a_report() {
    let bench = Bench::new().await;
    import(&bench, &stream(), &[]).await;
    let net = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:99,ip=dhcp,type=veth";
    bench.poke(9001, json!({ "set": { "net0": net } })).await;
    let shown = bench.run(&["volumes", "show", "9001"]).await;
    assert_eq!(shown.exit, Exit::NoSuchThing, "{shown:?}");
    let text = shown.text();
    assert!(
        text.contains("is on another guest, which had the VMID 9001 before"),
        "{text}"
    );
    let ran = import(&bench, &stream().replace("\"unused\"", "\"fresh\""), &[]).await;
    assert!(
        ran.stdout
            .contains("was on another guest, which had this VMID before"),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("new volumes"), "{ran:?}");
    let shown = bench.run(&["volumes", "show", "9001"]).await;
    assert_eq!(shown.exit, Exit::Findings, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_report_is_told_how_to_make_one_and_that_line_makes_it() {
    let bench = Bench::new().await;
    let shown = bench.program(&["volumes", "show", "9001"], "").await;
    assert_eq!(shown.exit, Some(5), "{shown:?}");
    let hint = shown.stderr.lines().find(|line| line.starts_with("hint: "));
    let hint = hint.unwrap();
    let (before, after) = (
        "pct exec 9001 -- sh -c '",
        "' | felhom-agent volumes import 9001 -",
    );
    let commands = hint.split_once(before).unwrap().1;
    let commands = commands.strip_suffix(after).unwrap();
    assert!(!commands.contains('\''), "{commands}");
    for command in felhom_protocol::docker::COMMANDS {
        assert!(commands.contains(command), "{command}");
    }
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/operations/volumes.md"
    ));
    let page = page.unwrap();
    let help = bench.program(&["volumes", "import", "--help"], "").await;
    for command in felhom_protocol::docker::COMMANDS {
        assert!(
            page.contains(command),
            "docs/operations/volumes.md: {command}"
        );
        assert!(help.stdout.contains(command), "--help: {command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_a_finding_and_what_is_unknown_is_said() {
    let bench = Bench::new().await;
    let [info, list, volumes, containers, ..] = recorded_report();
    let ran = bench
        .run(&["volumes", "import", "9001", &info, &containers])
        .await;
    assert_eq!(ran.exit, Exit::Findings, "{ran:?}");
    let text = ran.text();
    assert!(
        text.contains("warning: guest 9001: the report on its Docker volumes is not whole: 19 volume(s) are named but not described")
            && text.contains("[volumes-incomplete]"),
        "{text}"
    );
    let ran = bench
        .run(&["volumes", "import", "9001", &info, &list])
        .await;
    assert_eq!(ran.exit, Exit::Findings);
    assert!(ran.text().contains("not all containers are in it"));
    let ran = bench.run(&["volumes", "import", "9001", &volumes]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let text = ran.text();
    for what in ["volumes", "containers"] {
        let line = format!("whether these are all {what} is not known");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_report_reaches_the_journal_or_the_terminal() {
    let bench = Bench::new().await;
    let text = stream();
    let secrets = ["fixture-passw0rd", "fixture-t0ken", "fixture-h4sh"];
    assert!(secrets.iter().all(|secret| text.contains(secret)));
    let ran = import(&bench, &text, &["-vv"]).await;
    let shown = bench
        .program(&["volumes", "show", "9001", "--json"], "")
        .await;
    assert_eq!((ran.exit, shown.exit), (Some(0), Some(3)));
    let mut seen = format!("{ran:?}{shown:?}").into_bytes();
    for entry in std::fs::read_dir(bench.state_dir()).unwrap() {
        seen.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        seen.contains("paperless_data"),
        "the journal was looked into"
    );
    for secret in secrets {
        assert!(!seen.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_an_earlier_version_has_no_reports_and_one_of_a_later_is_refused() {
    let bench = Bench::new().await;
    import(&bench, &stream(), &[]).await;
    let change = async |sql: &'static str| {
        let path = bench.state_dir().join("journal.sqlite");
        let address = format!("sqlite://{}", path.display());
        let pool = sqlx::SqlitePool::connect(&address).await.unwrap();
        sqlx::query(sql).execute(&pool).await.unwrap();
        pool.close().await;
    };
    change("UPDATE volume_reports SET report = replace(report, '\"version\":1', '\"version\":2')")
        .await;
    let shown = bench.run(&["volumes", "show", "9001"]).await;
    assert_eq!(shown.exit, Exit::Unexpected, "{shown:?}");
    assert!(
        shown.text().contains("volume report that cannot be read"),
        "{shown:?}"
    );
    change("DROP TABLE volume_reports").await;
    let shown = bench.run(&["volumes", "show", "9001"]).await;
    assert_eq!(shown.exit, Exit::NoSuchThing, "{shown:?}");
    let journal = Journal::read(&bench.state_dir()).await.unwrap();
    assert_eq!(journal.volume_report(vmid(9001)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_a_hostile_guest_make_no_row_and_move_no_cursor() {
    let bench = Bench::new().await;
    let odd = "x\\n9001 fine\\u001b[2J";
    let text = format!(
        r#"[{{"Name":"{odd}","Driver":"{odd}","Mountpoint":"/{odd}","Labels":{{}},"Options":{{"device":"/{odd}"}}}},
            {{"Id":"1","Name":"/{odd}","Config":{{}},"HostConfig":{{}},
              "Mounts":[{{"Type":"bind","Source":"/{odd}","Destination":"/{odd}"}}]}}]"#
    );
    let ran = import(&bench, &text, &[]).await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    let shown = bench.run(&["volumes", "show", "9001"]).await;
    let document = shown.printed.iter().find_map(|printed| match printed {
        Printed::Document { text, .. } => Some(text.clone()),
        _ => None,
    });
    let document = document.unwrap();
    assert!(!document.contains('\x1b'), "{document:?}");
    assert!(
        document.lines().all(|line| !line.starts_with("9001 fine")),
        "{document}"
    );
}

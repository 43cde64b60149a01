//! The table is held to the functions, to the sources that use them, and to what may never be an argument.

use std::collections::BTreeSet;
use std::path::Path;

use felhom_ids::TargetName;
use proptest::prelude::*;

use super::*;
use crate::argv::Program;
use crate::config::Config;
use crate::fields::TemplateVolume;

#[test]
fn every_command_line_is_as_it_was_agreed() {
    let lines: Vec<_> = table()
        .iter()
        .map(|row| format!("{} # {} s", row.text(), row.line.deadline.as_secs()))
        .collect();
    let columns =
        "NAME,PKNAME,TYPE,SIZE,FSTYPE,LABEL,UUID,SERIAL,MODEL,TRAN,RM,HOTPLUG,RO,MOUNTPOINTS";
    let expected = [
        format!("/usr/bin/lsblk --json --bytes --output {columns} # 15 s"),
        "/usr/bin/systemctl daemon-reload # 30 s".to_owned(),
        "/usr/bin/systemctl start -- UNIT # 60 s".to_owned(),
        "/usr/bin/systemctl stop -- UNIT # 120 s".to_owned(),
        "/usr/sbin/pct create VMID TEMPLATES:vztmpl/FILE.tar.zst --unprivileged 1 --features nesting=1,keyctl=1 \
         --hostname felhom-golden --rootfs STORAGE:SIZE --memory MEMORY --swap 0 --cores CORES --onboot 0 --start 0 \
         --description 'felhom: golden container VMID' [--net0 name=eth0,bridge=BRIDGE,ip=dhcp] [--pool POOL] # 900 s"
            .to_owned(),
        "/usr/sbin/pct unlock VMID # 30 s".to_owned(),
        "/usr/sbin/qm unlock VMID # 30 s".to_owned(),
        "/usr/bin/pvesh set /pools --poolid POOL --vms VMID # 30 s".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_table_has_every_function_and_every_program() {
    let source = include_str!("../../argv.rs");
    let (_, lines) = source.split_once("impl CommandLine {").unwrap();
    let made: BTreeSet<_> = lines
        .split("pub(crate) fn ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .collect();
    let rows = table();
    let listed: BTreeSet<_> = rows.iter().map(|row| row.function).collect();
    assert_eq!(listed, made);
    for program in Program::ALL {
        assert!(
            rows.iter().any(|row| row.line.program == program),
            "{program:?}"
        );
    }
    for program in source
        .split("Self::")
        .skip(1)
        .filter_map(|rest| rest.split_once(" => \""))
    {
        let known = Program::ALL
            .iter()
            .any(|one| format!("{one:?}") == program.0);
        assert!(known, "{} is not in Program::ALL", program.0);
    }
}

/// The command lines that the sources of the operations name.
fn used(directory: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            used(&path, into);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("CommandLine::").skip(1);
            into.extend(
                names
                    .filter_map(|rest| rest.split('(').next())
                    .map(str::to_owned),
            );
        }
    }
}

#[test]
fn no_operation_runs_anything_else() {
    let mut found = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    used(&sources.join("operations"), &mut found);
    assert!(
        found.contains("create_golden") && found.contains("unlock"),
        "{found:?}"
    );
    let rows = table();
    for name in found {
        assert!(rows.iter().any(|row| row.function == name), "{name}");
    }
}

/// Text that somebody would try, and text that is like what is meant.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-a-zA-Z0-9._/:,= \n\0]{0,24}",
        "[a-zA-Z][a-zA-Z0-9-]{0,12}",
        "[a-z]{2,8}:vztmpl/[-A-Za-z0-9._+~]{1,16}\\.tar\\.(gz|xz|zst|bz2)",
    ]
}

fn golden(
    storage: &str,
    bridge: &str,
    pool: &str,
    numbers: (u16, u32, u16),
) -> Option<GoldenConfig> {
    let mut config = Config::parse(
        "[golden]\nvmids = \"9900\"\ntemplates = []\nstorage = \"a0\"\nbridge = \"b0\"\npool = \"c0\"\n",
    )
    .unwrap()
    .golden?;
    config.storage = storage.parse().ok().unwrap_or(config.storage);
    config.bridge = bridge.parse().ok().or(config.bridge);
    config.pool = pool.parse().ok().or(config.pool);
    (config.rootfs_gib, config.memory_mib, config.cores) = numbers;
    Some(config)
}

/// Whether each argument is a constant of the table, or a value that is no option.
fn check(line: &CommandLine, function: &str) {
    let rows = table();
    let constants: BTreeSet<_> = rows
        .iter()
        .filter(|row| row.function == function)
        .flat_map(|row| row.line.arguments.clone())
        .collect();
    for argument in &line.arguments {
        let is_plain = !argument.starts_with('-') && !argument.contains(char::is_control);
        assert!(
            is_plain || constants.contains(argument),
            "{argument:?} in {line:?}"
        );
        assert!(!argument.is_empty(), "{line:?}");
    }
}

proptest! {
    #[test]
    fn nothing_from_outside_is_an_option_or_another_line(
        vmid in 100_u32..=999_999_999,
        texts in [text(), text(), text(), text(), text()],
        numbers in any::<(u16, u32, u16)>(),
    ) {
        let vmid = Vmid::new(vmid).unwrap();
        let [template, storage, bridge, pool, target] = &texts;
        for kind in [GuestKind::Lxc, GuestKind::Qemu] {
            let line = CommandLine::unlock(kind, vmid);
            check(&line, "unlock");
            prop_assert_eq!(line.arguments.len(), 2);
        }
        let golden = golden(storage, bridge, pool, numbers).unwrap();
        if let Ok(template) = template.parse::<TemplateVolume>() {
            let description = crate::operations::golden_description(vmid);
            let line = CommandLine::create_golden(vmid, &template, &golden, &description);
            check(&line, "create_golden");
            // After the two names that pct takes by position, options and values take turns.
            for (place, argument) in line.arguments.iter().enumerate() {
                prop_assert_eq!(argument.starts_with('-'), place >= 3 && place % 2 == 1);
            }
            prop_assert_eq!(line.arguments.len(), 3 + 2 * 12);
        }
        if let Ok(target) = target.parse::<TargetName>() {
            let unit = format!("mnt-felhom-{target}.mount");
            check(&CommandLine::start_unit(&unit), "start_unit");
            check(&CommandLine::stop_unit(&unit), "stop_unit");
        }
    }
}

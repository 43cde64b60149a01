//! All command lines there are, made of placeholders by the very functions that make them: for the reference page, and for
//! the tests that hold them.

use felhom_ids::{GuestKind, Vmid};

use super::CommandLine;
use crate::config::{GoldenConfig, VmidRange};

/// One command line, and which operations run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The function that makes it.
    pub(crate) function: &'static str,
    /// The names of the operations that run it.
    pub(crate) operations: &'static [&'static str],
    /// It, with placeholders in capitals.
    pub(crate) line: CommandLine,
    /// How many of the last options are only there when the configuration says so, each with its value.
    pub(crate) optional: usize,
}

/// Numbers that stand for any other, and what is shown in their place.
const NUMBERS: [(&str, &str); 4] = [
    ("999999999", "VMID"),
    ("4294967295", "MEMORY"),
    ("65535", "SIZE"),
    ("65534", "CORES"),
];

/// The table. (A test holds that no function is missing in it.)
pub(crate) fn table() -> Vec<Row> {
    let row = |function, operations, line: CommandLine| {
        let line = shown(line);
        Row {
            function,
            operations,
            line,
            optional: 0,
        }
    };
    let mut rows = vec![
        row(
            "list_block_devices",
            &[
                "list-block-devices",
                "install-usb-mount",
                "mount-usb",
                "unmount-usb",
                "probe-usb",
            ],
            CommandLine::list_block_devices(),
        ),
        row(
            "reload_units",
            &["install-usb-mount", "mount-usb", "remove-usb-mount"],
            CommandLine::reload_units(),
        ),
        row(
            "start_unit",
            &["mount-usb"],
            CommandLine::start_unit("UNIT"),
        ),
        row(
            "stop_unit",
            &["mount-usb", "unmount-usb"],
            CommandLine::stop_unit("UNIT"),
        ),
    ];
    rows.extend(create_golden());
    rows.extend([GuestKind::Lxc, GuestKind::Qemu].map(|kind| {
        let line = CommandLine::unlock(kind, Vmid::MAX);
        row("unlock", &["release-unfinished-restore"], line)
    }));
    rows.extend("POOL".parse().ok().map(|pool| {
        let line = CommandLine::put_into_pool(&pool, Vmid::MAX);
        row("put_into_pool", &["release-unfinished-restore"], line)
    }));
    rows
}

fn create_golden() -> Option<Row> {
    let golden = GoldenConfig {
        vmids: VmidRange {
            first: Vmid::MAX,
            last: Vmid::MAX,
        },
        templates: Vec::new(),
        storage: "STORAGE".parse().ok()?,
        rootfs_gib: u16::MAX,
        memory_mib: u32::MAX,
        cores: u16::MAX - 1,
        bridge: Some("BRIDGE".parse().ok()?),
        pool: Some("POOL".parse().ok()?),
    };
    let template = "TEMPLATES:vztmpl/FILE.tar.zst".parse().ok()?;
    let description = crate::operations::golden_description(Vmid::MAX);
    let line = CommandLine::create_golden(Vmid::MAX, &template, &golden, &description);
    Some(Row {
        function: "create_golden",
        operations: &["create-golden-container"],
        line: shown(line),
        optional: 2,
    })
}

fn shown(mut line: CommandLine) -> CommandLine {
    for argument in &mut line.arguments {
        for (number, name) in NUMBERS {
            *argument = argument.replace(number, name);
        }
    }
    line
}

impl Row {
    /// The whole command line in one line, what is optional in brackets.
    pub(crate) fn text(&self) -> String {
        let arguments = &self.line.arguments;
        let fixed = arguments.len().saturating_sub(2 * self.optional);
        let mut words = vec![self.line.program.path().to_owned()];
        for (place, argument) in arguments.iter().enumerate() {
            let mut word = if argument.contains(' ') {
                format!("'{argument}'")
            } else {
                argument.clone()
            };
            if place >= fixed && (place - fixed).is_multiple_of(2) {
                word.insert(0, '[');
            } else if place >= fixed {
                word.push(']');
            }
            words.push(word);
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests;

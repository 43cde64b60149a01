//! The one table of what is ever run as root: an absolute program and its arguments for each need, and for how long.
//!
//! What comes from outside is a parsed name (a VMID, a volume id, a unit's name made of a target's name), never an option:
//! it stands after an option that takes a value, or begins with a letter or digit.

pub(crate) mod table;

use std::time::Duration;

use felhom_ids::{GuestKind, PoolId, Vmid};

use crate::config::GoldenConfig;
use crate::fields::TemplateVolume;

/// A program that may run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Pct,
    Qm,
    Pvesh,
    Lsblk,
    Systemctl,
}

impl Program {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [
        Self::Pct,
        Self::Qm,
        Self::Pvesh,
        Self::Lsblk,
        Self::Systemctl,
    ];

    /// Its absolute path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Pct => "/usr/sbin/pct",
            Self::Qm => "/usr/sbin/qm",
            Self::Pvesh => "/usr/bin/pvesh",
            Self::Lsblk => "/usr/bin/lsblk",
            Self::Systemctl => "/usr/bin/systemctl",
        }
    }
}

/// One command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) program: Program,
    pub(crate) arguments: Vec<String>,
    /// After that it is killed, with everything that it started.
    pub(crate) deadline: Duration,
}

impl CommandLine {
    fn new<const N: usize>(program: Program, arguments: [&str; N], deadline_s: u64) -> Self {
        Self {
            program,
            arguments: arguments.map(str::to_owned).to_vec(),
            deadline: Duration::from_secs(deadline_s),
        }
    }

    /// Makes the golden container. `description` is made by us, of one line.
    pub(crate) fn create_golden(
        vmid: Vmid,
        template: &TemplateVolume,
        golden: &GoldenConfig,
        description: &str,
    ) -> Self {
        let (vmid, template) = (vmid.to_string(), template.to_string());
        let rootfs = format!("{}:{}", golden.storage, golden.rootfs_gib);
        let (memory, cores) = (golden.memory_mib.to_string(), golden.cores.to_string());
        let mut line = Self::new(
            Program::Pct,
            [
                "create",
                &vmid,
                &template,
                "--unprivileged",
                "1",
                "--features",
                "nesting=1,keyctl=1",
                "--hostname",
                "felhom-golden",
                "--rootfs",
                &rootfs,
                "--memory",
                &memory,
                "--swap",
                "0",
                "--cores",
                &cores,
                "--onboot",
                "0",
                "--start",
                "0",
                "--description",
                description,
            ],
            15 * 60,
        );
        if let Some(bridge) = &golden.bridge {
            let net = format!("name=eth0,bridge={bridge},ip=dhcp");
            line.arguments.extend(["--net0".to_owned(), net]);
        }
        if let Some(pool) = &golden.pool {
            line.arguments
                .extend(["--pool".to_owned(), pool.to_string()]);
        }
        line
    }

    /// Lists the block devices.
    pub(crate) fn list_block_devices() -> Self {
        let columns =
            "NAME,PKNAME,TYPE,SIZE,FSTYPE,LABEL,UUID,SERIAL,MODEL,TRAN,RM,HOTPLUG,RO,MOUNTPOINTS";
        Self::new(
            Program::Lsblk,
            ["--json", "--bytes", "--output", columns],
            15,
        )
    }

    /// Has systemd read its units again.
    pub(crate) fn reload_units() -> Self {
        Self::new(Program::Systemctl, ["daemon-reload"], 30)
    }

    /// Mounts what a unit says.
    pub(crate) fn start_unit(unit: &str) -> Self {
        Self::new(Program::Systemctl, ["start", "--", unit], 60)
    }

    /// Unmounts what a unit says.
    pub(crate) fn stop_unit(unit: &str) -> Self {
        Self::new(Program::Systemctl, ["stop", "--", unit], 120)
    }

    /// Takes a guest's lock away.
    pub(crate) fn unlock(kind: GuestKind, vmid: Vmid) -> Self {
        let program = match kind {
            GuestKind::Lxc => Program::Pct,
            GuestKind::Qemu => Program::Qm,
        };
        Self::new(program, ["unlock", &vmid.to_string()], 30)
    }

    /// Puts a guest into a pool; PVE refuses one that is in another.
    pub(crate) fn put_into_pool(pool: &PoolId, vmid: Vmid) -> Self {
        let (pool, vmid) = (pool.to_string(), vmid.to_string());
        let arguments = ["set", "/pools", "--poolid", &pool, "--vms", &vmid];
        Self::new(Program::Pvesh, arguments, 30)
    }
}

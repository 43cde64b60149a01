//! The content of simulated guests: a small system that boots, and data that does not compress.

use std::io;
use std::path::Path;

use crate::archive::{self, Compression, Plan, Source};
use crate::guest::tree::{self, put};

/// The template's name, as the recorded host had it.
pub(crate) const TEMPLATE: &str = "debian-13-mini_13.1-1_amd64.tar.zst";

/// Bytes without pattern, the same at every start (xorshift).
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// What a guest's init does about the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    /// Reads `/etc/network/interfaces` and acts on it.
    Ifupdown,
    /// A shell, which does nothing: so was the recorded template.
    Shell,
}

/// A minimal Debian as far as this world looks: an init that brings up the network, and something to copy.
pub(crate) fn system(root: &Path, init: Init) -> io::Result<()> {
    for dir in [
        "dev", "proc", "sys", "run", "tmp", "var/tmp", "var/run", "mnt", "root", "home", "opt",
        "srv",
    ] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    put(
        root,
        "sbin/init",
        b"#!/bin/sh\n/sbin/ifup -a\nexec /bin/sh\n",
    )?;
    if init == Init::Ifupdown {
        put(root, "sbin/ifup", b"#!/bin/sh\n# ifupdown\n")?;
    }
    put(root, "bin/sh", &noise(1, 96 << 10))?;
    put(
        root,
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        &noise(2, 1300 << 10),
    )?;
    put(root, "usr/bin/perl", &noise(3, 480 << 10))?;
    put(
        root,
        "etc/os-release",
        b"ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n",
    )?;
    put(root, "etc/debian_version", b"13.1\n")?;
    put(root, "etc/passwd", b"root:x:0:0:root:/root:/bin/bash\n")?;
    put(root, "etc/hostname", b"localhost\n")?;
    put(
        root,
        "etc/network/interfaces",
        b"auto lo\niface lo inet loopback\n",
    )?;
    put(root, "var/log/dpkg.log", b"")
}

/// Writes the template into a storage's cache.
pub(crate) fn template(cache: &Path, scratch: &Path, init: Init, now: i64) -> io::Result<()> {
    std::fs::create_dir_all(cache)?;
    system(scratch, init)?;
    let plan = Plan {
        sources: vec![Source {
            root: scratch.to_owned(),
            prefix: String::new(),
        }],
        now: u64::try_from(now).unwrap_or_default(),
        ..Plan::default()
    };
    archive::write(&cache.join(TEMPLATE), Compression::Zstd, &plan)?;
    tree::remove(scratch)
}

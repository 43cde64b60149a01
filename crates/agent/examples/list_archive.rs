//! Reads an archive to its end as the content proof of a backup does: members by mount point and by volume, digests of
//! sampled files. For measuring what that costs.
//!
//! Usage: `list_archive FILE`

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use felhom_agent::archive;
use felhom_engine::{DEFAULT_DATA_ROOT, WantedContent};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: list_archive FILE")?;
    let mount = |key: &str, path: &str| (key.to_owned(), path.to_owned());
    let wanted = WantedContent {
        mounts: vec![mount("rootfs", "/"), mount("mp0", "/srv/data")],
        volumes: Vec::new(),
        data_root: DEFAULT_DATA_ROOT.to_owned(),
    };
    let go_on = &mut |_| ControlFlow::Continue(());
    let content = archive::read(Path::new(&file), &wanted, go_on)?;
    if let Some(error) = content.error {
        return Err(error.into());
    }
    let volumes = &content.docker_volumes;
    let digests: usize = volumes.iter().map(|volume| volume.samples.len()).sum();
    writeln!(
        std::io::stdout(),
        "{} members, {} bytes, {} volumes, {digests} digests",
        content.members,
        content.bytes,
        volumes.len()
    )?;
    Ok(())
}

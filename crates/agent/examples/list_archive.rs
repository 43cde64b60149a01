//! Reads an archive to its end as the content proof of a backup does. For measuring what that costs.
//!
//! Usage: `list_archive FILE`

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use felhom_agent::archive;
use felhom_engine::WantedContent;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: list_archive FILE")?;
    let content = archive::read(Path::new(&file), &WantedContent::default(), &mut |_| {
        ControlFlow::Continue(())
    })?;
    if let Some(error) = content.error {
        return Err(error.into());
    }
    writeln!(
        std::io::stdout(),
        "{} members, {} bytes",
        content.members,
        content.bytes
    )?;
    Ok(())
}

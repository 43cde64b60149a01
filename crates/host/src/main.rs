//! `felhom-hostd`: the root daemon behind the fence. See the library for what it does, and for what it never does.

use std::process::ExitCode;

fn main() -> ExitCode {
    felhom_host::serve()
}

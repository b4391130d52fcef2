//! The shim as an executable of its own, for this crate's tests and benchmark. In the product it is a mode of the agent's binary.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next()) {
        (Some(mode), Some(dir)) if mode == "shim" => floe_runtime::shim::main(&PathBuf::from(dir)),
        _ => ExitCode::from(2),
    }
}

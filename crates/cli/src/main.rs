//! The floe binary: the agent, every command, and the one-command start.
//!
//! Called as `<floe> shim DIR` it is the supervisor of one task, before any thread exists: libcontainer needs that. Called by the name
//! `nomad` it behaves the same, so that scripts and fingers need not change.
#![forbid(unsafe_code)]

mod agent;
mod args;
mod argv;
mod commands;
mod files;
mod output;

use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;

// Planted defects are for the simulation. A build of anything else that turned their feature on must not end in a binary.
const _: () =
    assert!(!floe_consensus::PLANTED_BUGS, "floe must not be built with the feature planted-bugs; build floe-sim by itself: -p floe-sim");

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let mut raw: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if raw.get(1).is_some_and(|a| a == "shim")
        && let (Some(dir), 3) = (raw.get(2), raw.len())
    {
        return floe_runtime::shim::main(std::path::Path::new(dir));
    }
    raw = argv::normalise(raw);
    let misused = if argv::is_plan(&raw) { ExitCode::from(commands::PLAN_UNKNOWN) } else { ExitCode::FAILURE };
    let matches = match args::Cli::command().try_get_matches_from(raw) {
        Ok(matches) => matches,
        Err(error) => {
            // Printing help to a closed pipe is no failure.
            let _ = error.print();
            return if error.use_stderr() { misused } else { ExitCode::SUCCESS };
        }
    };
    let cli = match args::Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    output::choose_colours(&cli.global);
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

//! The agent: configuration, the parts that it starts, and how it stops.

mod config;
mod host;
mod identity;
mod logging;
mod notify;
mod run;
mod temporary;

pub(crate) use config::{AgentConfig, Mode};
pub(crate) use identity::Heir;
pub(crate) use logging::start_logging;
pub(crate) use notify::Supervisor;
pub(crate) use run::{Agent, Ending, Interrupts};

use crate::args::AgentArgs;
use anyhow::Context;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// See [`identity::IdentityFile::forget_membership`]. `data` is the data folder of an agent that does not run.
pub(crate) fn forget_membership(data: &Path) -> anyhow::Result<()> {
    identity::IdentityFile::at(data).forget_membership()
}

/// Refuses what `floe agent` would refuse of its configuration before it starts anything.
pub(crate) fn validate(paths: Vec<PathBuf>) -> anyhow::Result<()> {
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        anyhow::bail!("there is no {}", missing.display());
    }
    AgentConfig::check(&AgentArgs { config: paths, ..AgentArgs::default() })
}

/// `floe agent`.
pub(crate) fn command(args: &AgentArgs) -> anyhow::Result<ExitCode> {
    let config = AgentConfig::load(args)?;
    start_logging(&config.log_level, config.log_json)?;
    let supervisor = Supervisor::from_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the async runtime")?;
    runtime.block_on(async {
        let mut interrupts = Interrupts::listen()?;
        tokio::spawn(supervisor.clone().keep_alive());
        let agent = tokio::select! {
            started = Agent::start(&config, &supervisor) => started?,
            // A machine that waits to be let in has nothing yet that would have to be tidied up; another one stays to tidy up.
            () = interrupts.next(), if config.tls => {
                supervisor.stopping();
                return Ok(ExitCode::SUCCESS);
            }
        };
        agent.say_where();
        supervisor.ready(&format!("{} at http://{}", agent.parts(), agent.http));
        let ending = run::wait_for_end(&agent, &mut interrupts).await;
        supervisor.stopping();
        agent.stop(ending.clone()).await;
        match ending {
            Ending::Failed(reason) => anyhow::bail!("the agent had to stop: {reason}"),
            Ending::Leave | Ending::Everything => Ok(ExitCode::SUCCESS),
        }
    })
}

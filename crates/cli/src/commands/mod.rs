//! What each command does.

mod alloc;
mod ca;
mod cluster;
mod job;
mod monitor;
mod node;
mod operator;
mod plan;
mod reconcile;
mod resolve;
mod server;
mod service;
mod source;
mod up;
mod var;

use crate::args::{
    AllocCommand, AutopilotCommand, CaCommand, Cli, Command, ConfigCommand, Global, JobCommand, NodeCommand, OperatorCommand, RaftCommand,
    RootCommand, ServerCommand, ServiceCommand, SnapshotCommand,
};
use anyhow::{Context, anyhow};
use clap::CommandFactory;
use floe_api::ApiClient;
use std::{future::Future, process::ExitCode};

pub(crate) use plan::UNKNOWN as PLAN_UNKNOWN;

/// Runs a command. The exit code is 0 when it did what it should, 2 when a job was submitted but did not come up or an inventory and its
/// cluster differ, and 1 otherwise; `job plan` has codes of its own.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    match cli.command {
        Command::Agent(args) => crate::agent::command(&args),
        Command::Up(args) => up::command(&args),
        Command::Job { command } => match command {
            JobCommand::Run(args) => job::run(global, &args),
            JobCommand::Plan(args) => Ok(plan::command(global, &args)),
            JobCommand::Reconcile(args) => Ok(reconcile::command(global, &args)),
            JobCommand::Status(args) => wait(job::status(&client(global)?, &args)),
            JobCommand::Stop(args) => wait(job::stop(&client(global)?, &args)),
            JobCommand::Validate(args) => job::validate(global, &args),
            JobCommand::Inspect(args) => wait(job::inspect(&client(global)?, &args)),
        },
        Command::Alloc { command } => match command {
            AllocCommand::Status(args) => wait(alloc::status(&client(global)?, &args)),
            AllocCommand::Logs(args) => wait(alloc::logs(&client(global)?, &args)),
            AllocCommand::Stop(args) => wait(alloc::stop(&client(global)?, &args)),
            AllocCommand::Restart(args) => wait(alloc::restart(&client(global)?, &args.tasks)),
            AllocCommand::Signal(args) => wait(alloc::signal(&client(global)?, &args)),
        },
        Command::Node { command } => match command {
            NodeCommand::Status(args) => wait(node::status(&client(global)?, &args)),
            NodeCommand::Revoke { node } => wait(node::revoke(&client(global)?, &node)),
        },
        Command::Service { command } => match command {
            ServiceCommand::List { json } => wait(service::list(&client(global)?, json)),
            ServiceCommand::Info(args) => wait(service::info(&client(global)?, &args)),
        },
        Command::Var { command } => wait(var::command(&client(global)?, &command)),
        Command::Server { command } => match command {
            ServerCommand::Members { json } => wait(server::members(&client(global)?, json)),
            ServerCommand::BootstrapSecret => Ok(server::bootstrap_secret()),
            ServerCommand::KeyringKey { out } => server::keyring_key(out.as_deref()),
            ServerCommand::Token(args) => wait(server::token(&client(global)?, &args)),
        },
        Command::Cluster { command } => cluster::command(global, &command),
        Command::Operator { command } => match command {
            OperatorCommand::Raft { command: RaftCommand::ListPeers { json } } => wait(operator::list_peers(&client(global)?, json)),
            OperatorCommand::Raft { command: RaftCommand::RemovePeer(args) } => wait(operator::remove_peer(&client(global)?, &args)),
            OperatorCommand::Raft { command: RaftCommand::AddPeer(args) } => wait(operator::add_peer(&client(global)?, &args)),
            OperatorCommand::Raft { command: RaftCommand::TransferLeadership(args) } => wait(operator::transfer(&client(global)?, &args)),
            OperatorCommand::Recover(args) => wait(operator::recover::command(&args)),
            OperatorCommand::Ca { command: CaCommand::Status { json } } => wait(ca::status(&client(global)?, json)),
            OperatorCommand::Ca { command: CaCommand::Rotate { force, cancel } } => wait(ca::rotate(&client(global)?, force, cancel)),
            OperatorCommand::Root { command: RootCommand::Keyring { command } } => {
                wait(operator::keyring::command(&client(global)?, &command))
            }
            OperatorCommand::Autopilot { command: AutopilotCommand::Health { json } } => wait(operator::health(&client(global)?, json)),
            OperatorCommand::Snapshot { command } => match command {
                SnapshotCommand::Save(args) => wait(operator::snapshot::save(&client(global)?, &args)),
                SnapshotCommand::Restore { file, force } => wait(operator::snapshot::restore(&client(global)?, &file, force)),
                SnapshotCommand::Inspect { file, json } => operator::snapshot::inspect(&file, json),
                SnapshotCommand::Redact { file, copy, overwrite } => operator::snapshot::redact(&file, &copy, overwrite),
                SnapshotCommand::Verify { file } => operator::snapshot::verify(&file),
            },
        },
        Command::Config { command: ConfigCommand::Validate { paths } } => {
            crate::agent::validate(paths)?;
            crate::output::line("The configuration is valid");
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "floe", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            clap_mangen::generate_to(Cli::command(), &folder).with_context(|| format!("write pages into {}", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            crate::output::line(format!("floe v{}", crate::VERSION));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A client of the agent that flags and environment name.
fn client(global: &Global) -> anyhow::Result<ApiClient> {
    let env = |names: [&str; 2]| names.iter().find_map(|n| std::env::var(n).ok()).filter(|v| !v.is_empty());
    let address = global.address.clone().or_else(|| env(["FLOE_ADDR", "NOMAD_ADDR"]));
    let address = address.unwrap_or_else(|| format!("http://127.0.0.1:{}", floe_api::HTTP_PORT));
    let namespace = global.namespace.clone().or_else(|| env(["FLOE_NAMESPACE", "NOMAD_NAMESPACE"]));
    let token = global.token.clone().or_else(|| env(["FLOE_TOKEN", "NOMAD_TOKEN"]));
    ApiClient::new(&address, namespace, token).map_err(|e| anyhow!(e))
}

/// Runs a command that talks to an agent; one thread is enough for that.
fn wait(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the async runtime")?.block_on(command)
}

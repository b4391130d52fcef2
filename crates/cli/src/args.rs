//! Every command with its flags.

mod cluster;
mod job;
mod keyring;
mod snapshot;
mod var;

pub(crate) use cluster::{ClusterCommand, InventoryArgs};
pub(crate) use job::{
    JobCommand, JobFileArgs, JobInspectArgs, JobPlanArgs, JobReconcileArgs, JobRunArgs, JobStatusArgs, JobStopArgs, VariableArgs,
};
pub(crate) use keyring::{KeyringCommand, KeyringRotateArgs, RootCommand};
pub(crate) use snapshot::{SnapshotCommand, SnapshotSaveArgs};
pub(crate) use var::{ListForm, VarCommand, VarForm, VarGetArgs, VarPutArgs};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A NixOS-native cluster appliance: run services and batch jobs on your own machines.
#[derive(Debug, Parser)]
#[command(name = "floe", version = crate::VERSION, disable_help_subcommand = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  floe up examples/hello.nix        start a node here and run the job until Ctrl-C
  floe agent -dev                   start a server and a client on loopback
  floe job run web.hcl              submit a job and watch it start
  floe alloc logs -f 1a2b3c4d       follow a task's output";

/// Flags of every command that talks to an agent.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The agent's address [env: FLOE_ADDR, NOMAD_ADDR] [default: http://127.0.0.1:4646]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// The namespace [env: FLOE_NAMESPACE, NOMAD_NAMESPACE]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The token to send [env: FLOE_TOKEN, NOMAD_TOKEN]
    #[arg(long, global = true, value_name = "SECRET", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Never colour the output [env: NO_COLOR, NOMAD_CLI_NO_COLOR]
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Colour the output even when it is no terminal
    #[arg(long, global = true, conflicts_with = "no_color")]
    pub(crate) force_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an agent: a server, a client, or both
    Agent(AgentArgs),
    /// Start a node on this machine, run a job on it, and take everything away at Ctrl-C
    Up(UpArgs),
    /// Jobs: run, plan, status, stop, validate, inspect, reconcile
    Job {
        #[command(subcommand)]
        command: JobCommand,
    },
    /// Allocations: status, logs, stop, restart, signal
    Alloc {
        #[command(subcommand)]
        command: AllocCommand,
    },
    /// Nodes: status, and refusing one
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Services: list, info
    Service {
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// Variables, which the servers keep sealed: put, get, list, purge
    Var {
        #[command(subcommand)]
        command: VarCommand,
    },
    /// Servers: members, and tokens for machines that are to join
    Server {
        #[command(subcommand)]
        command: ServerCommand,
    },
    /// Inventories (hosts.nix): check one, compare it with the cluster, plan the way there
    Cluster {
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Operate the cluster: who agrees with whom, and whether all are well
    Operator {
        #[command(subcommand)]
        command: OperatorCommand,
    },
    /// Configurations of agents: validate
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print completions for a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
    /// Write the pages of the manual, one for each command
    Man {
        /// The folder to write them into
        folder: PathBuf,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what is wrong with an agent's configuration; nothing is started, and no secret needs to be there
    Validate {
        /// Files (HCL or JSON) and folders of them, as -config of floe agent; later ones win
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AgentArgs {
    /// Server and client in one, on loopback; the state is kept where -data-dir says, else it is temporary
    #[arg(long)]
    pub(crate) dev: bool,
    /// A configuration file (HCL or JSON) or a folder of them; may be repeated, later ones win
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Vec<PathBuf>,
    /// The folder that holds the agent's state
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The name of this node
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// The datacenter
    #[arg(long, value_name = "NAME")]
    pub(crate) dc: Option<String>,
    /// The address to listen on
    #[arg(long, value_name = "IP")]
    pub(crate) bind: Option<String>,
    /// Run the server part
    #[arg(long)]
    pub(crate) server: bool,
    /// Run the client part
    #[arg(long)]
    pub(crate) client: bool,
    /// A server's RPC address, for an agent without the server part; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) servers: Vec<String>,
    /// A server of the cluster to join, for an agent with the server part; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) retry_join: Vec<String>,
    /// A file with the token that lets this machine into the cluster (floe server token)
    #[arg(long, value_name = "FILE")]
    pub(crate) join_token_file: Option<PathBuf>,
    /// How much to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Log as JSON
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    /// The job file: .nix, .hcl, .nomad or .json
    pub(crate) file: PathBuf,
    /// Keep the state here, and keep it after the end
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) variables: VariableArgs,
    /// End once the job is healthy (or, for a batch job, over) instead of waiting for Ctrl-C
    #[arg(long)]
    pub(crate) once: bool,
    /// How much the agent logs: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    pub(crate) log_level: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AllocCommand {
    /// Show an allocation
    Status(AllocStatusArgs),
    /// Print a task's output
    Logs(AllocLogsArgs),
    /// Stop an allocation; it is replaced
    Stop(AllocStopArgs),
    /// Start tasks that run anew, in place
    Restart(AllocRestartArgs),
    /// Send tasks that run a signal
    Signal(AllocSignalArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AllocStatusArgs {
    /// The allocation's id or the beginning of it; all allocations when left out
    pub(crate) alloc: Option<String>,
    /// Show only those that this expression is true of, for example 'ClientStatus == failed'
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "alloc")]
    pub(crate) filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave the tasks' events out
    #[arg(long)]
    pub(crate) short: bool,
    /// Show ids in full and scores of nodes
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AllocLogsArgs {
    /// The allocation's id or the beginning of it (with -job: the job's id)
    pub(crate) alloc: String,
    /// The task; needed when there are several
    pub(crate) task: Option<String>,
    /// The task, as a flag
    #[arg(long = "task", value_name = "NAME", conflicts_with = "task")]
    pub(crate) task_flag: Option<String>,
    /// Take any running allocation of this job
    #[arg(long)]
    pub(crate) job: bool,
    /// Print standard error
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Go on with what is written later
    #[arg(short = 'f')]
    pub(crate) follow: bool,
    /// Begin near the end
    #[arg(long)]
    pub(crate) tail: bool,
    /// With -tail, begin this many lines before the end
    #[arg(short = 'n', value_name = "LINES")]
    pub(crate) lines: Option<usize>,
    /// With -tail, begin this many bytes before the end
    #[arg(short = 'c', value_name = "BYTES", conflicts_with = "lines")]
    pub(crate) bytes: Option<u64>,
}

/// Which tasks of which allocation.
#[derive(Clone, Debug, Args)]
pub(crate) struct TasksArgs {
    /// The allocation's id or the beginning of it
    pub(crate) alloc: String,
    /// The task; all that run when left out
    pub(crate) task: Option<String>,
    /// The task, as a flag
    #[arg(long = "task", value_name = "NAME", conflicts_with = "task")]
    pub(crate) task_flag: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AllocRestartArgs {
    #[command(flatten)]
    pub(crate) tasks: TasksArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AllocSignalArgs {
    #[command(flatten)]
    pub(crate) tasks: TasksArgs,
    /// The signal
    #[arg(short = 's', value_name = "SIGNAL", default_value = "SIGKILL")]
    pub(crate) signal: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AllocStopArgs {
    /// The allocation's id or the beginning of it
    pub(crate) alloc: String,
    /// Return once the allocation is told to stop
    #[arg(long)]
    pub(crate) detach: bool,
    /// Show ids in full
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show nodes, or one of them
    Status(NodeStatusArgs),
    /// Refuse a client for good: its certificate counts no more, and what ran there is placed elsewhere
    Revoke {
        /// The node's id, the beginning of it, or its name; the whole id of one that is not listed any more
        node: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NodeStatusArgs {
    /// The node's id or the beginning of it; all nodes when left out
    pub(crate) node: Option<String>,
    /// Show only those that this expression is true of, for example 'Drivers.exec.Healthy == true'
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["node", "self_"])]
    pub(crate) filter: Option<String>,
    /// Show the node of the agent that is asked
    #[arg(long = "self", conflicts_with = "node")]
    pub(crate) self_: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave allocations and attributes out
    #[arg(long)]
    pub(crate) short: bool,
    /// Show ids in full and all attributes
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Show the servers
    Members {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a token that lets one machine join the cluster
    Token(ServerTokenArgs),
    /// Make the secret by which servers begin a cluster together
    BootstrapSecret,
    /// Make the key of a keyring "file" or "credential", which wraps the cluster's root keys
    KeyringKey {
        /// Write it into a new file of mode 0600 instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServerTokenArgs {
    /// For a server rather than for a client
    #[arg(long, conflicts_with = "client")]
    pub(crate) server: bool,
    /// For a client; this is the default
    #[arg(long)]
    pub(crate) client: bool,
    /// How long the token counts, such as 30m or 24h
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) ttl: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// The servers' agreement
    Raft {
        #[command(subcommand)]
        command: RaftCommand,
    },
    /// The cluster's certificate authority
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
    /// Root keys: list, rotate, remove
    Root {
        #[command(subcommand)]
        command: RootCommand,
    },
    /// What looks after the servers
    Autopilot {
        #[command(subcommand)]
        command: AutopilotCommand,
    },
    /// Backups of the cluster's state: save, restore, inspect, verify, redact
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Go on without a majority of servers that is gone for good, on a server whose agent is stopped
    Recover(RecoverArgs),
}

/// Without `-confirm` nothing is changed.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The data folder of this server
    #[arg(long, value_name = "DIR", required_unless_present = "from_snapshot", conflicts_with = "from_snapshot")]
    pub(crate) data_dir: Option<PathBuf>,
    /// No server is left: make the first one of a cluster that goes on from this snapshot, with the old authority, so that clients come back by
    /// themselves. Its root keys must open with the keyring blocks of the configuration
    #[arg(long, value_name = "FILE", requires = "config", conflicts_with_all = ["survivor", "rejoin"])]
    pub(crate) from_snapshot: Option<PathBuf>,
    /// With -from-snapshot: the configuration of this server's agent; may be given more than once
    #[arg(long, value_name = "PATH", requires = "from_snapshot")]
    pub(crate) config: Vec<PathBuf>,
    /// Another server that is left, by name or id: it may come back under its id; may be given more than once
    #[arg(long, value_name = "SERVER", conflicts_with = "rejoin")]
    pub(crate) survivor: Vec<String>,
    /// On another server that is left: set its log aside, so that it joins the recovered cluster. Takes the last entry of the recovered one,
    /// as the command printed it there
    #[arg(long, value_name = "TERM-INDEX")]
    pub(crate) rejoin: Option<String>,
    /// Do it
    #[arg(long)]
    pub(crate) confirm: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RaftCommand {
    /// Show the members of the agreement
    ListPeers {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a server for good; if it is to come back it joins again, with a token and a new id
    RemovePeer(PeerArgs),
    /// Take in again a server that was removed, under its id and with the data folder that it has
    AddPeer(AddPeerArgs),
    /// Have another server lead
    TransferLeadership(PeerArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Show the authorities, and how far a replacement has come
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Replace the authority by a new one, while everything runs on
    Rotate {
        /// Go on to the next step without the agents that are waited for: they must join anew
        #[arg(long, conflicts_with = "cancel")]
        force: bool,
        /// Give the replacement up, in its first step
        #[arg(long)]
        cancel: bool,
    },
}

/// Which server.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerArgs {
    /// Its id, as list-peers shows it
    #[arg(long, value_name = "ID", conflicts_with = "peer_address")]
    pub(crate) peer_id: Option<String>,
    /// Its RPC address, as list-peers shows it
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer_address: Option<String>,
}

/// A server that comes back.
#[derive(Clone, Debug, Args)]
pub(crate) struct AddPeerArgs {
    /// Its id: the log of its agent says it, and list-peers showed it before it was removed
    #[arg(long, value_name = "ID")]
    pub(crate) peer_id: String,
    /// Its RPC address
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer_address: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AutopilotCommand {
    /// Show whether the servers are well, and how many the cluster can lose
    Health {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List services
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the instances of a service
    Info(ServiceInfoArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServiceInfoArgs {
    /// The service's name
    pub(crate) service: String,
    /// Show only those that this expression is true of, for example 'Tags contains blue'
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show ids in full
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_filter_narrows_lists_only() {
        for list in ["job status", "alloc status", "node status"] {
            assert!(parse(&format!("floe {list} --filter Status==running")).is_ok(), "{list}");
            let error = parse(&format!("floe {list} --filter Status==running one")).map(|_| ()).map_err(|e| e.kind());
            assert_eq!(error, Err(clap::error::ErrorKind::ArgumentConflict), "{list} of one thing");
        }
        assert!(parse("floe node status --self --filter Name==x").is_err());
        assert!(parse("floe service info www --filter Port==80").is_ok());
    }
}

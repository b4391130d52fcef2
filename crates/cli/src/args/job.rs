//! `floe job ...`

use clap::{Args, Subcommand};
use floe_model::Nanos;
use std::path::PathBuf;

/// Values for a job file's variables.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct VariableArgs {
    /// A variable's value; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub(crate) vars: Vec<String>,
    /// A file of values; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) var_file: Vec<PathBuf>,
    /// Whether a value for a variable that the file does not declare is an error
    #[arg(long, value_name = "BOOL", default_value = "true", action = clap::ArgAction::Set)]
    pub(crate) hcl2_strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Submit a job and watch it start
    Run(JobRunArgs),
    /// Show what running a job would change, and change nothing. Exits with 0 if nothing would change, 1 if something would, 255 on an error
    Plan(JobPlanArgs),
    /// Bring the cluster in line with a folder of job files: run what is new or changed, and with -prune stop what is there no longer
    Reconcile(JobReconcileArgs),
    /// Show jobs, or one of them
    Status(JobStatusArgs),
    /// Stop a job
    Stop(JobStopArgs),
    /// Check a job file
    Validate(JobFileArgs),
    /// Print a job as JSON
    Inspect(JobInspectArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobFileArgs {
    /// The job file (.nix, .hcl, .nomad or .json), or - for standard input
    pub(crate) file: PathBuf,
    /// Read the file as JSON, whatever its name
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) variables: VariableArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobRunArgs {
    #[command(flatten)]
    pub(crate) file: JobFileArgs,
    /// Return once the job is submitted
    #[arg(long)]
    pub(crate) detach: bool,
    /// Print the job as JSON and submit nothing
    #[arg(long)]
    pub(crate) output: bool,
    /// Submit only if the job's modify index is this (0: if it does not exist)
    #[arg(long, value_name = "INDEX")]
    pub(crate) check_index: Option<u64>,
    /// Keep the present counts of the groups
    #[arg(long)]
    pub(crate) preserve_counts: bool,
    /// The priority of the evaluation
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) eval_priority: i64,
    /// Show ids in full
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobPlanArgs {
    #[command(flatten)]
    pub(crate) file: JobFileArgs,
    /// Whether to show what differs
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) diff: bool,
    /// Show what stays as it is, too, and values in full
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(crate) json_output: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobReconcileArgs {
    /// The folder: each .nix, .hcl, .nomad and .json file in it is a job
    pub(crate) folder: PathBuf,
    /// Whose jobs these are. Jobs of others, and those that were run by hand, are never changed or stopped
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: String,
    /// Stop the owner's jobs that are not in the folder any more
    #[arg(long)]
    pub(crate) prune: bool,
    /// Show what would be done. Exits with 0 if nothing, 1 if something, 255 if anything would be refused or nobody knows
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long to wait for a cluster that has a leader, for example 5m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = Nanos::parse)]
    pub(crate) wait: Nanos,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobStatusArgs {
    /// The job's id or the beginning of it; all jobs when left out
    pub(crate) job: Option<String>,
    /// Show only those that this expression is true of, for example 'Status == running'
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "job")]
    pub(crate) filter: Option<String>,
    /// Show evaluations
    #[arg(long)]
    pub(crate) evals: bool,
    /// Show allocations of earlier jobs of the same id, too
    #[arg(long)]
    pub(crate) all_allocs: bool,
    /// Show the head only
    #[arg(long)]
    pub(crate) short: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show ids in full
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobStopArgs {
    /// The job's id or the beginning of it
    pub(crate) job: String,
    /// Forget the job, rather than keep it as dead
    #[arg(long)]
    pub(crate) purge: bool,
    /// Return once the job is told to stop
    #[arg(long)]
    pub(crate) detach: bool,
    /// Do not ask when only the beginning of the id is given
    #[arg(long)]
    pub(crate) yes: bool,
    /// Show ids in full
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct JobInspectArgs {
    /// The job's id or the beginning of it
    pub(crate) job: String,
    /// Print JSON (which is the only form)
    #[arg(long)]
    pub(crate) json: bool,
}

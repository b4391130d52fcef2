//! `floe var ...`

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum VarCommand {
    /// Write a variable
    Put(VarPutArgs),
    /// Show a variable with what it holds
    Get(VarGetArgs),
    /// Show which variables there are, without what they hold
    List {
        /// Only those whose paths begin so
        prefix: Option<String>,
        /// Only those that this is true of, such as 'Path contains "db"'
        #[arg(long, value_name = "EXPRESSION")]
        filter: Option<String>,
        /// How to print it
        #[arg(long, value_name = "FORM", default_value = "table")]
        out: ListForm,
    },
    /// Forget a variable
    Purge {
        /// Its path
        path: String,
        /// Only if its modify index is this
        #[arg(long, value_name = "INDEX")]
        check_index: Option<u64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct VarPutArgs {
    /// Where it is, such as nomad/jobs/web; left out when a specification names it
    #[arg(value_name = "PATH | @FILE | -")]
    pub(crate) target: String,
    /// What it holds: KEY=VALUE, or KEY=@FILE for what a file holds (\@ for a value that begins so); also @FILE or - for a specification in JSON,
    /// {"Items": {"KEY": "VALUE"}}
    #[arg(value_name = "ITEM")]
    pub(crate) items: Vec<String>,
    /// Only if its modify index is this; 0: only if it does not exist
    #[arg(long, value_name = "INDEX", conflicts_with = "force")]
    pub(crate) check_index: Option<u64>,
    /// Whatever the specification says of its modify index
    #[arg(long)]
    pub(crate) force: bool,
    /// How to print what was written
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub(crate) out: VarForm,
}

#[derive(Debug, Args)]
pub(crate) struct VarGetArgs {
    /// Its path
    pub(crate) path: String,
    /// Print the value of this item alone
    #[arg(long, value_name = "KEY", conflicts_with = "out")]
    pub(crate) item: Option<String>,
    /// How to print it
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub(crate) out: VarForm,
}

/// How a variable is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VarForm {
    Table,
    Json,
    None,
}

/// How a list of variables is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListForm {
    Table,
    /// The paths alone
    Terse,
    Json,
}

//! A small Nix evaluator for job files and inventories. Pure: files come through
//! a trait, and there is no clock, no environment and no network.
//!
//! [`eval_file`] turns a text into JSON, lazily as Nix does, within [`Limits`]:
//! no input, however hostile, makes it panic, overflow a stack, or use more
//! steps and memory than they allow. What needs the Nix store is refused by name.
//!
//! The way of a file: `syntax` (rnix's tokens, a parser with bounds, lowering to
//! expressions with resolved variables) -> `eval` (thunks in a `heap` that is
//! freed at once) with `builtins` -> `json`.
//!
//! What differs from Nix, deliberately:
//! - integer overflow is an error, as in recent releases (2.8 still wraps around);
//! - `substring` refuses to cut a character in two; texts are always UTF-8;
//! - in regular expressions the first alternative that matches wins, not the
//!   longest, and `.` is a character, not a byte;
//! - a path never becomes a string, for that copies it into the store; paths serve
//!   `import`, `readFile` and `pathExists`, inside the job's folder;
//! - `let { ... }`, pipes and a bare `or` are refused, and so is everything that
//!   `builtins` has for the store, the network, the machine and the clock.
//!
//! ```
//! use floe_nixlang::{Limits, MemoryFiles, eval_file};
//! let files = MemoryFiles::new([("count.nix", "1 + 2")]).expect("a path in the folder");
//! let job = eval_file("web.nix", "{ count = import ./count.nix; }", &files, &Limits::default());
//! assert_eq!(job.expect("valid Nix"), serde_json::json!({ "count": 3 }));
//! ```
#![forbid(unsafe_code)]

mod builtins;
mod error;
mod eval;
mod evaluation;
mod files;
mod heap;
mod json;
pub mod limits;
mod syntax;
mod value;

pub use error::{ErrorKind, EvalError, Report, TraceEntry};
pub use evaluation::{Evaluation, Request, eval_file, eval_with_args, evaluate};
pub use files::{Files, FilesError, MAX_PATH_BYTES, MemoryFiles, NixPath, PathError};
pub use limits::Limits;

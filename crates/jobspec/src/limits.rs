//! The bounds of one parse. Each has a name, a default and an error that names it: no job file may use more of the machine.

/// Default for [`Limits::source_bytes`].
pub const MAX_SOURCE_BYTES: usize = 4 << 20;
/// How deep brackets, braces, parentheses and `${` may nest in a job file (or objects and lists in JSON and Nix).
pub const MAX_DEPTH: usize = 32;
/// How many words and signs a job file may have; text, white space and comments are not counted.
pub const MAX_TOKENS: usize = 200_000;
/// How many entries one `{ ... }` of HCL may have: the parser compares each key with all others.
pub const MAX_ENTRIES: usize = 1_024;
/// Default for [`Limits::steps`].
pub const MAX_STEPS: u64 = 5_000_000;
/// Default for [`Limits::allocated_bytes`].
pub const MAX_ALLOCATED_BYTES: u64 = 128 << 20;
/// Default for [`Limits::value_bytes`].
pub const MAX_VALUE_BYTES: usize = 8 << 20;
/// Default for [`Limits::output_bytes`].
pub const MAX_OUTPUT_BYTES: usize = 16 << 20;
/// Default for [`Limits::blocks`].
pub const MAX_BLOCKS: usize = 50_000;
/// How many evaluations may be under way at once, for example in a chain of locals.
pub const MAX_EVAL_DEPTH: usize = 200;
/// How many errors are reported; the rest is only counted.
pub const MAX_ERRORS: usize = 20;
/// How many warnings are kept.
pub const MAX_WARNINGS: usize = 20;
/// The longest regular expression, in bytes.
pub const MAX_REGEX_BYTES: usize = 4_096;
/// How many elements `range` and `setproduct` may make.
pub const MAX_ELEMENTS: usize = 65_536;
/// How many variables may be set from outside.
pub const MAX_VARIABLES: usize = 4_096;

/// What one parse may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the job file, and of each variable file and each file that a function reads.
    pub source_bytes: usize,
    /// Steps of evaluation: one for each expression, and more where much text or many elements are touched at once.
    pub steps: u64,
    /// Bytes of all values that are made on the way, none given back.
    pub allocated_bytes: u64,
    /// Bytes of any one value, written out in full.
    pub value_bytes: usize,
    /// Bytes of all values of the job together.
    pub output_bytes: usize,
    /// Blocks of the job, after `dynamic` blocks are expanded.
    pub blocks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: MAX_SOURCE_BYTES,
            steps: MAX_STEPS,
            allocated_bytes: MAX_ALLOCATED_BYTES,
            value_bytes: MAX_VALUE_BYTES,
            output_bytes: MAX_OUTPUT_BYTES,
            blocks: MAX_BLOCKS,
        }
    }
}

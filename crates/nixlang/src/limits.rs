//! The bounds of one evaluation. Each has a name, a default and an error that
//! names it; no input may use more of the machine than these allow.

/// Default for [`Limits::fuel`]: a few seconds of work at the very most.
pub const DEFAULT_FUEL: u64 = 20_000_000;
/// Default for [`Limits::depth`].
pub const DEFAULT_DEPTH: u32 = 10_000;
/// The largest [`Limits::depth`] that is accepted: the stack of the evaluation
/// thread is reserved for it.
pub const MAX_DEPTH: u32 = 50_000;
/// Default for [`Limits::memory_bytes`].
pub const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;
/// The largest [`Limits::memory_bytes`] that is accepted: every object costs at
/// least eight bytes, so that their numbers fit into 32 bits.
pub const MAX_MEMORY_BYTES: u64 = 16 << 30;
/// Default for [`Limits::source_bytes`].
pub const DEFAULT_SOURCE_BYTES: usize = 1 << 20;
/// The largest [`Limits::source_bytes`] that is accepted: positions are 32 bit
/// and the parser's work grows with it.
pub const MAX_SOURCE_BYTES: usize = 16 << 20;
/// Default for [`Limits::files`].
pub const DEFAULT_FILES: usize = 256;
/// Default for [`Limits::string_bytes`].
pub const DEFAULT_STRING_BYTES: usize = 16 << 20;
/// Default for [`Limits::list_len`].
pub const DEFAULT_LIST_LEN: usize = 1_000_000;
/// Default for [`Limits::output_bytes`].
pub const DEFAULT_OUTPUT_BYTES: usize = 8 << 20;
/// Default for [`Limits::output_depth`]; it is also what `serde_json` reads back.
pub const DEFAULT_OUTPUT_DEPTH: u32 = 100;
/// The largest [`Limits::output_depth`] that is accepted: the value is dropped
/// by its owner, recursively, on an ordinary stack.
pub const MAX_OUTPUT_DEPTH: u32 = 512;

/// Brackets, strings and interpolations may be nested this deep in a source.
pub const MAX_SOURCE_NESTING: usize = 256;
/// A source may have this many tokens, white space and comments not counted.
pub const MAX_SOURCE_TOKENS: usize = 200_000;
/// An expression tree may be this deep, chains of operators included.
pub const MAX_EXPRESSION_DEPTH: u32 = 1_000;
/// An attribute path in a binding (`a.b.c = 1`) may have this many parts.
pub const MAX_ATTRPATH_LEN: usize = 64;
/// Calls that an error's trace shows; the outer rest is counted, not shown.
pub const MAX_TRACE: usize = 8;
/// Messages of `builtins.trace` that are kept.
pub const MAX_MESSAGES: usize = 100;
/// A regular expression may be this long, in bytes.
pub const MAX_REGEX_BYTES: usize = 4_096;

/// What one evaluation may use. All bounds hold for the job file together with
/// everything it imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Steps. One for each expression evaluated, and more where a built-in
    /// function touches many elements or bytes at once.
    pub fuel: u64,
    /// Nested evaluations, at most [`MAX_DEPTH`]. A call of a Nix function uses
    /// two to four.
    pub depth: u32,
    /// Bytes allocated in total. Nothing is given back before the end, so this
    /// bounds the real use as well. At most [`MAX_MEMORY_BYTES`].
    pub memory_bytes: u64,
    /// Bytes of each source or `readFile` text, at most [`MAX_SOURCE_BYTES`].
    pub source_bytes: usize,
    /// Files read by `import` and `readFile`; the job file itself is not counted.
    pub files: usize,
    /// Bytes of each string.
    pub string_bytes: usize,
    /// Elements of each list, attributes of each set.
    pub list_len: usize,
    /// Bytes of the result, about as JSON counts them.
    pub output_bytes: usize,
    /// Nesting of the result, at most [`MAX_OUTPUT_DEPTH`].
    pub output_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: DEFAULT_FUEL,
            depth: DEFAULT_DEPTH,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            source_bytes: DEFAULT_SOURCE_BYTES,
            files: DEFAULT_FILES,
            string_bytes: DEFAULT_STRING_BYTES,
            list_len: DEFAULT_LIST_LEN,
            output_bytes: DEFAULT_OUTPUT_BYTES,
            output_depth: DEFAULT_OUTPUT_DEPTH,
        }
    }
}

impl Limits {
    /// Says which field is above what the evaluator can promise to survive.
    pub(crate) fn check(&self) -> Result<(), String> {
        let above = |name: &str, value: u64, most: u64| Err(format!("limits: {name} is {value}, the most is {most}"));
        if self.depth > MAX_DEPTH {
            return above("depth", self.depth.into(), MAX_DEPTH.into());
        }
        if self.memory_bytes > MAX_MEMORY_BYTES {
            return above("memory_bytes", self.memory_bytes, MAX_MEMORY_BYTES);
        }
        if self.output_depth > MAX_OUTPUT_DEPTH {
            return above("output_depth", self.output_depth.into(), MAX_OUTPUT_DEPTH.into());
        }
        if self.source_bytes > MAX_SOURCE_BYTES {
            return above("source_bytes", self.source_bytes as u64, MAX_SOURCE_BYTES as u64);
        }
        Ok(())
    }
}

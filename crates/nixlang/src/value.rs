//! Run-time values. A value owns no other value: it points to thunks by number,
//! so nothing here can form a cycle or be dropped recursively.

use std::rc::Rc;

use crate::builtins::Builtin;
use crate::files::NixPath;
use crate::syntax::{Lambda, Symbol};

/// A slot of the heap, see [`crate::heap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ThunkId(pub(crate) u32);

/// An environment of the heap: the variables that an expression can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EnvId(pub(crate) u32);

/// A value in weak head normal form.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    Path(Rc<NixPath>),
    List(Rc<[ThunkId]>),
    Attrs(Rc<Attrs>),
    Lambda(Rc<Lambda>, EnvId),
    Builtin(&'static Builtin),
    Partial(Rc<Partial>),
}

/// A built-in function that still waits for arguments.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) builtin: &'static Builtin,
    pub(crate) args: Vec<ThunkId>,
}

impl Value {
    /// The name that `typeOf` gives.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "string",
            Self::Path(_) => "path",
            Self::List(_) => "list",
            Self::Attrs(_) => "set",
            Self::Lambda(..) | Self::Builtin(_) | Self::Partial(_) => "lambda",
        }
    }

    /// The name in a sentence: `expected an integer, got a string`.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a Boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Path(_) => "a path",
            Self::List(_) => "a list",
            Self::Attrs(_) => "a set",
            Self::Lambda(..) | Self::Builtin(_) | Self::Partial(_) => "a function",
        }
    }
}

/// An attribute set: names in the order of their symbols, each once.
#[derive(Debug, Default)]
pub(crate) struct Attrs {
    entries: Vec<(Symbol, ThunkId)>,
}

impl Attrs {
    /// Takes entries that are sorted by symbol, each symbol once.
    pub(crate) fn from_sorted(entries: Vec<(Symbol, ThunkId)>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
        Self { entries }
    }

    /// Sorts; of several entries with one name the first wins, as in `listToAttrs`.
    pub(crate) fn from_unsorted(mut entries: Vec<(Symbol, ThunkId)>) -> Self {
        entries.sort_by_key(|entry| entry.0);
        entries.dedup_by_key(|entry| entry.0);
        Self { entries }
    }

    pub(crate) fn get(&self, name: Symbol) -> Option<ThunkId> {
        let at = self.entries.binary_search_by_key(&name, |entry| entry.0).ok()?;
        self.entries.get(at).map(|entry| entry.1)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Symbol, ThunkId)> {
        self.entries.iter().copied()
    }

    /// `self // other`.
    pub(crate) fn update(&self, other: &Self) -> Self {
        let mut merged = Vec::with_capacity(self.len() + other.len());
        let mut left = self.entries.iter().peekable();
        for &entry in &other.entries {
            while let Some(&&earlier) = left.peek() {
                if earlier.0 >= entry.0 {
                    break;
                }
                merged.push(earlier);
                left.next();
            }
            left.next_if(|same| same.0 == entry.0);
            merged.push(entry);
        }
        merged.extend(left);
        Self { entries: merged }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn attrs(entries: &[(u32, u32)]) -> Attrs {
        Attrs::from_unsorted(entries.iter().map(|&(name, at)| (Symbol(name), ThunkId(at))).collect())
    }

    #[test]
    fn update_prefers_the_right_and_keeps_order() {
        let merged = attrs(&[(1, 10), (3, 30), (5, 50)]).update(&attrs(&[(0, 0), (3, 33), (6, 66)]));
        let names: Vec<(u32, u32)> = merged.iter().map(|(name, at)| (name.0, at.0)).collect();
        assert_eq!(names, [(0, 0), (1, 10), (3, 33), (5, 50), (6, 66)]);
    }

    #[test]
    fn the_first_of_a_name_wins() {
        let set = attrs(&[(2, 1), (1, 7), (2, 9)]);
        assert_eq!(set.get(Symbol(2)), Some(ThunkId(1)));
        assert_eq!((set.len(), set.get(Symbol(4))), (2, None));
    }

    #[test]
    fn a_value_is_three_words() {
        assert!(size_of::<Value>() <= 24, "{}", size_of::<Value>());
    }
}

//! Thunks and environments, addressed by number and freed together at the end.
//! So cycles need no collector, and no chain is ever dropped recursively.

use crate::syntax::{ExprId, Symbol};
use crate::value::{EnvId, ThunkId, Value};

/// What a thunk costs of [`Limits::memory_bytes`](crate::Limits::memory_bytes):
/// its slot, its origin, and the room that a growing vector keeps in reserve.
pub(crate) const THUNK_BYTES: u64 = 64;
/// What an environment costs, without its slots.
pub(crate) const ENV_BYTES: u64 = 16;
/// What a slot, list element or attribute costs.
pub(crate) const SLOT_BYTES: u64 = 8;

/// How to compute a value that nobody has asked for yet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pending {
    Expr(ExprId, EnvId),
    /// `function argument`.
    Apply(ThunkId, ThunkId),
    /// `set.name`, from `inherit (set) name`.
    Select(ThunkId, Symbol),
    /// A name of real Nix that this evaluator refuses.
    Refused(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) enum Thunk {
    Done(Value),
    Pending(Pending),
    /// Being computed right now: asking again is an infinite recursion.
    Running,
}

#[derive(Debug, Clone, Copy)]
struct Env {
    parent: EnvId,
    base: u32,
}

/// The environment that holds nothing.
pub(crate) const EMPTY: EnvId = EnvId(0);

/// All thunks and environments of one evaluation.
#[derive(Debug)]
pub(crate) struct Heap {
    thunks: Vec<Thunk>,
    origins: Vec<ExprId>,
    envs: Vec<Env>,
    slots: Vec<ThunkId>,
}

fn number(len: usize) -> u32 {
    // `MAX_MEMORY_BYTES` ends a program before it has 2^32 objects.
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Heap {
    pub(crate) fn new() -> Self {
        let empty = Env { parent: EMPTY, base: 0 };
        Self { thunks: Vec::new(), origins: Vec::new(), envs: vec![empty], slots: Vec::new() }
    }

    pub(crate) fn add(&mut self, thunk: Thunk, origin: ExprId) -> ThunkId {
        let id = ThunkId(number(self.thunks.len()));
        self.thunks.push(thunk);
        self.origins.push(origin);
        id
    }

    pub(crate) fn thunk(&self, id: ThunkId) -> &Thunk {
        self.thunks.get(id.0 as usize).expect("invariant: a ThunkId comes from `add`")
    }

    pub(crate) fn set(&mut self, id: ThunkId, thunk: Thunk) {
        *self.thunks.get_mut(id.0 as usize).expect("invariant: a ThunkId comes from `add`") = thunk;
    }

    /// The expression that made the thunk.
    pub(crate) fn origin(&self, id: ThunkId) -> ExprId {
        *self.origins.get(id.0 as usize).expect("invariant: a ThunkId comes from `add`")
    }

    /// A new environment inside `parent`; its slots are filled by [`Heap::push_slot`]
    /// before any other environment is made.
    pub(crate) fn open_env(&mut self, parent: EnvId) -> EnvId {
        let id = EnvId(number(self.envs.len()));
        self.envs.push(Env { parent, base: number(self.slots.len()) });
        id
    }

    pub(crate) fn push_slot(&mut self, thunk: ThunkId) {
        self.slots.push(thunk);
    }

    /// The thunk in slot `slot`, `depth` environments out of `env`.
    pub(crate) fn lookup(&self, mut env: EnvId, depth: u32, slot: u32) -> ThunkId {
        for _ in 0..depth {
            env = self.env(env).parent;
        }
        let at = self.env(env).base as usize + slot as usize;
        *self.slots.get(at).expect("invariant: lowering numbers slots as environments are filled")
    }

    fn env(&self, id: EnvId) -> Env {
        *self.envs.get(id.0 as usize).expect("invariant: an EnvId comes from `open_env`")
    }
}

//! The replicated state machine: commands, apply, indexes, snapshots. Pure.

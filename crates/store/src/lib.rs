//! redb on disk: the Raft log, snapshots, a client's local state.

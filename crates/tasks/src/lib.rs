//! The client's allocation and task state machines. Pure.

//! openraft: proposals, reads, membership, the storage adapters.

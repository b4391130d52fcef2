//! Go templates rendered over recorded lookups. Pure.

//! A node: fingerprint, desired against observed, local state.

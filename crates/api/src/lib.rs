//! The HTTP contract: routes, request and response types, a typed client.

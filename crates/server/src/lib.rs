//! A server: HTTP and RPC endpoints and the tasks that run control and scheduler.

//! The leader's loops as steps: broker, blocked evaluations, heartbeats, garbage. Pure.

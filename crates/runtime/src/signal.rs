//! Signals by name, the way job files write them: `SIGTERM`, `TERM`, `sigterm` or `15`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A signal that may be sent to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(nix::sys::signal::Signal);

impl Signal {
    /// SIGINT, which a task gets first when the job names no `kill_signal`.
    pub const INTERRUPT: Self = Self(nix::sys::signal::Signal::SIGINT);
    /// SIGKILL.
    pub const KILL: Self = Self(nix::sys::signal::Signal::SIGKILL);
    /// SIGTERM.
    pub const TERMINATE: Self = Self(nix::sys::signal::Signal::SIGTERM);

    /// The number that the kernel uses.
    pub fn number(self) -> i32 {
        self.0 as i32
    }
}

/// The name is not one of this machine's signals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {0:?}: use a name such as SIGTERM, SIGINT, SIGHUP or SIGUSR1")]
pub struct UnknownSignal(String);

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let unknown = || UnknownSignal(text.chars().take(32).collect());
        if let Ok(number) = text.parse::<i32>() {
            return nix::sys::signal::Signal::try_from(number).map(Self).map_err(|_| unknown());
        }
        let upper = text.to_ascii_uppercase();
        let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
        nix::sys::signal::Signal::from_str(&name).map(Self).map_err(|_| unknown())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_with_and_without_prefix_and_numbers() {
        for text in ["SIGHUP", "HUP", "sighup", "hup", "1"] {
            assert_eq!(text.parse::<Signal>().unwrap().to_string(), "SIGHUP");
        }
        assert_eq!("TERM".parse::<Signal>().unwrap(), Signal::TERMINATE);
    }

    #[test]
    fn unknown_names_say_what_to_write() {
        for text in ["", "SIG", "SIGWHAT", "0", "99", "-9", "SIGSIGTERM"] {
            let message = text.parse::<Signal>().unwrap_err().to_string();
            assert!(message.starts_with("unknown signal") && message.contains("SIGTERM"), "{message}");
        }
        assert!("x".repeat(10_000).parse::<Signal>().unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn serde_uses_the_name() {
        assert_eq!(serde_json::to_string(&Signal::KILL).unwrap(), "\"SIGKILL\"");
        assert_eq!(serde_json::from_str::<Signal>("\"USR1\"").unwrap().number(), libc::SIGUSR1);
    }
}

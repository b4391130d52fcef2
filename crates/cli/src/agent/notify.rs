//! What systemd is told about the agent (`Type=notify`, `WatchdogSec=`): that it is ready, what it waits for, that it stops, that it is alive.
//!
//! Without a `NOTIFY_SOCKET` nothing is said to anybody. No failure here ends the agent: it is logged, and systemd sees what it does not hear.

use std::{
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long a message may wait for systemd to read earlier ones.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to systemd; to nobody, when the agent was not started by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    /// How often it wants to hear of this process at least.
    watchdog: Option<Duration>,
    is_ready: AtomicBool,
}

impl Supervisor {
    /// As this process's environment says.
    pub(crate) fn from_environment() -> Self {
        Self::of(|name| std::env::var_os(name), std::process::id())
    }

    /// As an environment says, to a process that has this id.
    fn of(variable: impl Fn(&str) -> Option<OsString>, process: u32) -> Self {
        let Some(socket) = variable("NOTIFY_SOCKET").filter(|s| !s.is_empty()) else { return Self(None) };
        let address = match socket.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(&socket),
        };
        let address = match address {
            Ok(address) => address,
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET {socket:?} is no socket's address: systemd hears nothing");
                return Self(None);
            }
        };
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        // The variables may have been meant for a process that started this one.
        let is_meant = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(process));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_meant && *usec > 0).map(Duration::from_micros);
        Self(Some(Arc::new(Inner { address, watchdog, is_ready: AtomicBool::new(false) })))
    }

    /// The agent does what it is there for, or waits for what only others can do, as `status` says. systemd goes on with what comes after it.
    pub(crate) fn ready(&self, status: &str) {
        let Some(inner) = &self.0 else { return };
        let first = if inner.is_ready.swap(true, Ordering::Relaxed) { "" } else { "READY=1\n" };
        inner.say(&format!("{first}STATUS={}", one_line(status)));
    }

    /// The agent ends, and not by accident.
    pub(crate) fn stopping(&self) {
        if let Some(inner) = &self.0 {
            inner.say("STOPPING=1\nSTATUS=stopping; tasks run on");
        }
    }

    /// Says that this process is alive, twice in the time that systemd waits for it, for as long as tasks of the runtime are run. Never returns.
    pub(crate) async fn keep_alive(self) {
        let Some((inner, within)) = self.0.as_ref().and_then(|inner| Some((inner, inner.watchdog?))) else {
            return std::future::pending().await;
        };
        let mut beats = tokio::time::interval(within / 2);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            // A new task has to find a worker: when all of them are stuck, nothing is said.
            if tokio::spawn(async {}).await.is_ok() {
                inner.say("WATCHDOG=1");
            }
        }
    }
}

impl Inner {
    fn say(&self, message: &str) {
        if let Err(error) = self.send(message) {
            tracing::warn!(%error, message = message.lines().next(), "systemd was not told");
        }
    }

    fn send(&self, message: &str) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to_addr(message.as_bytes(), &self.address).map(drop)
    }
}

/// A status is one line: another one would be an assignment.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A socket as systemd has one, in a folder that is removed.
    fn listen() -> (tempfile::TempDir, UnixDatagram, OsString) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        (dir, socket, path.into_os_string())
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes.get(..length).unwrap().to_vec()).unwrap()
    }

    fn supervisor(variables: &[(&str, OsString)]) -> Supervisor {
        Supervisor::of(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()), 7)
    }

    #[test]
    fn it_is_ready_once_and_a_status_is_one_line() {
        let (_dir, socket, path) = listen();
        let to = supervisor(&[("NOTIFY_SOCKET", path)]);
        to.ready("waits for\nSTOPPING=1");
        to.ready("runs");
        to.stopping();
        assert_eq!(heard(&socket), "READY=1\nSTATUS=waits for STOPPING=1");
        assert_eq!(heard(&socket), "STATUS=runs");
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=stopping; tasks run on");
    }

    #[test]
    fn an_abstract_socket_is_one_too() {
        let name = format!("floe-notify-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        supervisor(&[("NOTIFY_SOCKET", format!("@{name}").into())]).ready("runs");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=runs");
    }

    #[tokio::test]
    async fn it_says_that_it_is_alive_again_and_again() {
        let (_dir, socket, path) = listen();
        let to = supervisor(&[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "20000".into()), ("WATCHDOG_PID", "7".into())]);
        let beats = tokio::spawn(to.keep_alive());
        let three = tokio::task::spawn_blocking(move || [heard(&socket), heard(&socket), heard(&socket)]).await.unwrap();
        beats.abort();
        assert_eq!(three, ["WATCHDOG=1"; 3]);
    }

    #[test]
    fn what_is_not_for_this_process_is_left_alone() {
        assert!(supervisor(&[]).0.is_none());
        assert!(supervisor(&[("NOTIFY_SOCKET", "".into())]).0.is_none());
        assert!(supervisor(&[("NOTIFY_SOCKET", "/".repeat(200).into())]).0.is_none());
        let watchdog = |usec: &str, pid: Option<&str>| {
            let mut variables = vec![("NOTIFY_SOCKET", OsString::from("/run/no")), ("WATCHDOG_USEC", usec.into())];
            variables.extend(pid.map(|pid| ("WATCHDOG_PID", pid.into())));
            supervisor(&variables).0.unwrap().watchdog
        };
        assert_eq!(watchdog("3000000", None), Some(Duration::from_secs(3)));
        assert_eq!(watchdog("3000000", Some("8")), None, "it is another process's");
        assert_eq!((watchdog("0", None), watchdog("soon", None)), (None, None));
        // Nobody listens there: it is logged, and that is all.
        supervisor(&[("NOTIFY_SOCKET", "/nonexistent/notify".into())]).ready("runs");
    }
}

//! Requests to what jobs serve: one, or without a pause for as long as a test likes.

use crate::{
    http::Request,
    world::{World, eventually},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Fetches a page; `None` when it is not served.
pub(crate) fn page(ip: impl Into<IpAddr>, port: u16) -> Option<String> {
    let response = Request::get("/").send(SocketAddr::new(ip.into(), port)).ok()?;
    (response.status() == 200).then(|| response.text())
}

/// Waits until a page is served.
pub(crate) fn wait_page(ip: impl Into<IpAddr>, port: u16) -> String {
    let ip = ip.into();
    eventually(&format!("a page at {ip}:{port}"), || page(ip, port))
}

/// A client that asks for a page again and again, from the outside.
pub(crate) struct Hammer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Hammer {
    /// Begins to ask for the page at `to`, which must be served.
    pub(crate) fn start(to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let client = move || {
            let (mut served, mut failed) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                match Request::get("/").send(to) {
                    Ok(response) if response.status() == 200 => served += 1,
                    Ok(response) => failed.push(format!("{}: {}", response.status(), response.text())),
                    Err(error) => failed.push(error.to_string()),
                }
            }
            (served, failed)
        };
        Hammer { stop, thread: thread::spawn(move || World::inside_of(&PathBuf::from("/run/netns/outside"), client)) }
    }

    /// Stops; every request must have been answered. Returns how many there were.
    pub(crate) fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (served, failed) = self.thread.join().expect("the client runs");
        assert!(failed.is_empty(), "{served} requests were answered, {} were not: {:?}", failed.len(), failed.first());
        assert!(served > 0, "no request was sent");
        served
    }
}

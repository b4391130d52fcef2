//! Commands: the binary under test, called as users call it.

use crate::world::{PATIENCE, World};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    io::Read,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

/// The binary under test.
pub(crate) const FLOE: &str = env!("CARGO_BIN_EXE_floe");

/// Makes a process known as the world's, and keeps what the caller's environment says out of it.
pub(crate) fn marked(command: &mut Command, tag: &str, tmp: &Path) {
    for name in ["FLOE_ADDR", "NOMAD_ADDR", "FLOE_NAMESPACE", "NOMAD_NAMESPACE", "FLOE_TOKEN", "NOMAD_TOKEN", "FLOE_LOG"] {
        command.env_remove(name);
    }
    command.env("FLOE_E2E", tag).env("TMPDIR", tmp);
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Standard output of a command that must have done what it should.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }
    /// Standard error of a command that must have failed with `code` and these words.
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:#?}");
        }
        self.stderr
    }
    /// Standard output as JSON.
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
    }
}

impl World {
    /// The binary with the given arguments, not run yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.program(FLOE, arguments)
    }

    /// Any program of this world.
    pub(crate) fn program(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        marked(&mut command, self.tag(), &self.tmp());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn floe(&self, arguments: &[&str]) -> Outcome {
        run(self.command(arguments))
    }
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Outcome {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(command);
    let status = running.wait();
    Outcome { code: status.code(), stdout: running.stdout(), stderr: running.stderr() }.checked()
}

impl Outcome {
    fn checked(self) -> Self {
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}

/// A command that runs beside the test. It is killed when the test forgets it.
pub(crate) struct Running {
    child: Mutex<Child>,
    out: Arc<Output>,
    err: Arc<Output>,
}

#[derive(Default)]
struct Output {
    text: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Output {
    fn collect(from: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Output::default());
        let (into, mut from) = (output.clone(), from);
        thread::spawn(move || {
            let mut piece = [0; 8192];
            loop {
                let read = from.read(&mut piece).unwrap_or(0);
                let mut text = into.text.lock().unwrap();
                text.0.extend_from_slice(&piece[..read]);
                text.1 = read == 0;
                into.more.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        output
    }

    /// Waits until the text has `words`, or is complete.
    fn wait_for(&self, enough: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut text = self.text.lock().unwrap();
        loop {
            let so_far = String::from_utf8_lossy(&text.0).into_owned();
            if text.1 || enough(&so_far) {
                return so_far;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {PATIENCE:?} in vain for more than:\n{so_far}");
            text = self.more.wait_timeout(text, left).unwrap().0;
        }
    }
}

impl Running {
    /// Starts a command whose output is collected.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let (out, err) = (Output::collect(child.stdout.take().unwrap()), Output::collect(child.stderr.take().unwrap()));
        Running { child: Mutex::new(child), out, err }
    }

    /// Standard output so far, or all of it once the command has ended.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.out.text.lock().unwrap().0).into_owned()
    }
    fn stderr(&self) -> String {
        self.err.wait_for(|_| false)
    }

    /// Waits until standard output has `words`.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        let text = self.out.wait_for(|t| t.contains(words));
        assert!(text.contains(words), "the command ended without {words:?}:\n{text}\n{}", self.stderr());
        text
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.lock().unwrap().id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).expect("signal a command");
    }

    /// Waits for the end, and for the last of the output.
    pub(crate) fn wait(&self) -> ExitStatus {
        self.out.wait_for(|_| false);
        crate::world::eventually("a command ends", || self.child.lock().unwrap().try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

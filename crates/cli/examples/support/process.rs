//! Servers as processes.

use std::{
    process::{Child, Command, Stdio},
    sync::Mutex,
};

/// A server's command and, while it runs, its process. It ends with this.
pub(crate) struct Process {
    program: String,
    args: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Process {
    pub(crate) fn start(program: impl Into<String>, args: Vec<String>) -> Self {
        let process = Self { program: program.into(), args, child: Mutex::default() };
        process.again();
        process
    }

    pub(crate) fn again(&self) {
        let child = Command::new(&self.program).args(&self.args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *self.child.lock().unwrap() = Some(child.expect("the program is installed"));
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

//! Finds a task's program before anything is started, so that the answer to a typing error is a sentence and not a stack of causes.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::spec::{Driver, TaskSpec};

/// Where names are looked up when the task's environment has no `PATH`.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";

/// A program that cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(
        "command {command:?} was not found in the task's file system (searched {searched}): check the name, or bring the program with an artifact or a volume"
    )]
    NotFound { command: String, searched: String },
    #[error("command {command:?} is a directory")]
    Directory { command: String },
    #[error("command {command:?} ({path}) is not executable: set its mode to 0755 (for an artifact: set mode on it or chmod it in a prestart task)", path = path.display())]
    NotExecutable { command: String, path: PathBuf },
    #[error("look up command {command:?} at {path}", path = path.display())]
    Lookup {
        command: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A working directory that a program cannot start in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkDirError {
    #[error("work_dir {path} does not exist in the task's file system", path = .0.display())]
    Missing(PathBuf),
    #[error("work_dir {path} is not a directory", path = .0.display())]
    NotDirectory(PathBuf),
    #[error("look up work_dir {path}", path = .0.display())]
    Lookup(PathBuf, #[source] io::Error),
}

/// The places to look, in order. A path with a slash is relative to the task's directory, as job files have always written it
/// (`local/app`); a bare name is first looked for in the task's own directory, then in `PATH`.
pub(crate) fn candidates(spec: &TaskSpec) -> Vec<PathBuf> {
    let command = Path::new(&spec.command);
    if command.is_absolute() {
        return vec![command.to_owned()];
    }
    let root = spec.task_root();
    if spec.command.contains('/') {
        return vec![root.join(command)];
    }
    // An image brings its programs itself.
    let own = match spec.driver {
        Driver::Image => Vec::new(),
        Driver::Exec | Driver::RawExec => vec![spec.seen_dirs().local.join(command), root.join(command)],
    };
    // An empty element of PATH means the working directory to a shell; here it would be the shim's, so it is left out.
    let listed = search_path(spec).split(':').filter(|dir| dir.starts_with('/')).map(|dir| Path::new(dir).join(command));
    own.into_iter().chain(listed).collect()
}

fn search_path(spec: &TaskSpec) -> &str {
    spec.env.get("PATH").map_or(DEFAULT_PATH, String::as_str)
}

/// The first candidate that is a file. `probe` looks a path up in the task's file system.
pub(crate) fn resolve(spec: &TaskSpec, probe: impl Fn(&Path) -> io::Result<Option<Metadata>>) -> Result<PathBuf, CommandError> {
    let command = || spec.command.clone();
    let mut refused = None;
    for path in candidates(spec) {
        match probe(&path) {
            Ok(None) => {}
            Ok(Some(metadata)) if metadata.is_dir() => refused = refused.or(Some(CommandError::Directory { command: command() })),
            Ok(Some(metadata)) if metadata.permissions().mode() & 0o111 == 0 => {
                refused = refused.or(Some(CommandError::NotExecutable { command: command(), path }));
            }
            Ok(Some(_)) => return Ok(path),
            Err(source) => return Err(CommandError::Lookup { command: command(), path, source }),
        }
    }
    Err(refused.unwrap_or_else(|| CommandError::NotFound { command: command(), searched: searched(spec) }))
}

/// Whether `dir` is a directory. `probe` looks a path up in the task's file system.
pub(crate) fn check_work_dir(dir: &Path, probe: impl Fn(&Path) -> io::Result<Option<Metadata>>) -> Result<(), WorkDirError> {
    match probe(dir) {
        Ok(Some(metadata)) if metadata.is_dir() => Ok(()),
        Ok(Some(_)) => Err(WorkDirError::NotDirectory(dir.to_owned())),
        Ok(None) => Err(WorkDirError::Missing(dir.to_owned())),
        Err(source) => Err(WorkDirError::Lookup(dir.to_owned(), source)),
    }
}

fn searched(spec: &TaskSpec) -> String {
    if spec.command.contains('/') {
        return candidates(spec).iter().map(|path| path.display().to_string()).collect();
    }
    if spec.driver == Driver::Image {
        return format!("PATH={} of the image", search_path(spec));
    }
    format!("{}, {}, PATH={}", spec.seen_dirs().local.display(), spec.task_root().display(), search_path(spec))
}

/// What the kernel's refusal to start a file that exists and is executable means.
pub(crate) fn explain_exec_failure(command: &str, path: &Path, errno: i32) -> String {
    let path = path.display();
    match errno {
        libc::ENOENT | libc::ELIBBAD => format!(
            "command {command:?} ({path}) exists, but the interpreter or loader that it names does not exist in the task's file system: check its first line (#!) or build it statically"
        ),
        libc::EACCES | libc::EPERM => format!(
            "command {command:?} ({path}) may not be executed by the task's user: set its mode to 0755, and note that nothing can be executed from /secrets"
        ),
        libc::ENOEXEC => format!(
            "command {command:?} ({path}) is not a program for this machine: it lacks a first line such as #!/bin/sh, or was built for another architecture"
        ),
        libc::E2BIG => format!("command {command:?}: arguments and environment are too large for the kernel: pass data in files"),
        _ => format!("start command {command:?} ({path}): {}", io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::{LogSpec, TaskDirs};

    fn spec(driver: Driver, command: &str, path: Option<&str>) -> TaskSpec {
        let dirs =
            TaskDirs { alloc: "/d/alloc".into(), local: "/d/web/local".into(), secrets: "/d/web/secrets".into(), tmp: "/d/web/tmp".into() };
        let mut spec = TaskSpec::new("x", driver, command, dirs, LogSpec::new("/d/alloc/logs", "web"));
        spec.env.extend(path.map(|path| ("PATH".to_owned(), path.to_owned())));
        spec
    }

    fn paths(spec: &TaskSpec) -> Vec<String> {
        candidates(spec).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn where_commands_are_looked_for() {
        assert_eq!(paths(&spec(Driver::Exec, "/bin/sh", None)), ["/bin/sh"]);
        assert_eq!(paths(&spec(Driver::Exec, "local/app", None)), ["/local/app"]);
        assert_eq!(paths(&spec(Driver::RawExec, "local/app", None)), ["/d/web/local/app"]);
        assert_eq!(paths(&spec(Driver::Exec, "app", Some("/a::rel:/b"))), ["/local/app", "/app", "/a/app", "/b/app"]);
    }

    #[test]
    fn first_executable_file_wins_over_refused_ones() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "").unwrap();
        let answer = |path: &Path| match path.to_str().unwrap() {
            "/local/app" => std::fs::metadata(dir.path()).map(Some),
            "/a/app" => std::fs::metadata(dir.path().join("plain")).map(Some),
            "/b/app" => std::fs::metadata("/bin/sh").map(Some),
            _ => Ok(None),
        };
        assert_eq!(resolve(&spec(Driver::Exec, "app", Some("/a:/b")), answer).unwrap(), Path::new("/b/app"));
        assert!(resolve(&spec(Driver::Exec, "app", Some("/a")), answer).unwrap_err().to_string().contains("is a directory"));
        assert!(resolve(&spec(Driver::Exec, "/a/app", None), answer).unwrap_err().to_string().contains("not executable"));
    }

    #[test]
    fn a_missing_command_names_what_was_searched() {
        let message = resolve(&spec(Driver::Exec, "foo", Some("/bin")), |_| Ok(None)).unwrap_err().to_string();
        assert!(message.contains("\"foo\" was not found in the task's file system") && message.contains("PATH=/bin"), "{message}");
    }
}

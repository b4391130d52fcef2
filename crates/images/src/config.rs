//! An image's configuration: what a container of it runs where the job says nothing else.

use crate::{digest::Digest, limits::MAX_LAYERS, manifest::Platform};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an image says about its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Who its program runs as: `name`, `uid`, `name:group` or `uid:gid`; empty for root.
    pub user: String,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What its program's arguments begin with.
    pub entrypoint: Vec<String>,
    /// What follows, unless the job says something else.
    pub cmd: Vec<String>,
    /// Where its program starts; empty for `/`.
    pub work_dir: String,
    /// What asks it to stop; empty for SIGTERM.
    pub stop_signal: String,
}

/// What a job says instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In the place of the image's entrypoint. The image's `cmd` does not count then.
    pub entrypoint: Option<Vec<String>>,
    /// In the place of the first word of the image's `cmd`.
    pub command: Option<String>,
    /// In the place of the others.
    pub args: Option<Vec<String>>,
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments, without its name.
    pub args: Vec<String>,
}

/// A configuration that floe cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadConfig {
    #[error("its configuration cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "it is for {found}, but this node needs {wanted}: build it for that, or let a constraint on ${{attr.kernel.arch}} choose other nodes"
    )]
    Platform { wanted: Platform, found: String },
    #[error("its manifest names {manifest} layers and its configuration {config}")]
    Layers { manifest: usize, config: usize },
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<WireRun>,
    rootfs: WireRoot,
}

#[derive(Deserialize)]
struct WireRoot {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct WireRun {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
}

/// Reads a configuration of an image of so many layers. Returns it with the digests of the unpacked layers, the lowest first.
pub(crate) fn read(content: &[u8], platform: &Platform, layers: usize) -> Result<(ImageConfig, Vec<Digest>), BadConfig> {
    let wire: Wire = serde_json::from_slice(content).map_err(|e| BadConfig::Unreadable(e.to_string()))?;
    let ids = wire.rootfs.diff_ids.unwrap_or_default();
    if ids.len() != layers || ids.len() > MAX_LAYERS {
        return Err(BadConfig::Layers { manifest: layers, config: ids.len() });
    }
    let fits = |found: &str, wanted: &str| found.is_empty() || found == wanted;
    if !fits(&wire.os, "linux") || !fits(&wire.architecture, &platform.architecture) {
        return Err(BadConfig::Platform { wanted: platform.clone(), found: format!("{}/{}", wire.os, wire.architecture) });
    }
    let run = wire.config.unwrap_or_default();
    let env = run.env.unwrap_or_default();
    let env = env.iter().filter_map(|line| line.split_once('=')).filter(|(key, _)| !key.is_empty());
    let config = ImageConfig {
        user: run.user.unwrap_or_default(),
        env: env.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        entrypoint: run.entrypoint.unwrap_or_default(),
        cmd: run.cmd.unwrap_or_default(),
        work_dir: run.working_dir.unwrap_or_default(),
        stop_signal: run.stop_signal.unwrap_or_default(),
    };
    Ok((config, ids))
}

impl ImageConfig {
    /// What is run: the entrypoint, then the command. `None` when neither the image nor the job names a program.
    pub fn command(&self, job: &Overrides) -> Option<Command> {
        let mut words = job.entrypoint.clone().unwrap_or_else(|| self.entrypoint.clone());
        // An entrypoint of one empty word is how job files say "none".
        words.retain(|word| !word.is_empty());
        if job.command.is_some() || job.args.is_some() {
            words.extend(job.command.iter().filter(|c| !c.is_empty()).cloned());
            words.extend(job.args.iter().flatten().cloned());
        } else if job.entrypoint.is_none() {
            words.extend(self.cmd.iter().cloned());
        }
        let mut words = words.into_iter();
        Some(Command { program: words.next()?, args: words.collect() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn entrypoint_and_command_are_put_together() {
        let image = ImageConfig { entrypoint: texts(&["/entry"]), cmd: texts(&["serve", "-x"]), ..ImageConfig::default() };
        let run = |entrypoint: Option<&[&str]>, command: Option<&str>, args: Option<&[&str]>| {
            let job = Overrides { entrypoint: entrypoint.map(texts), command: command.map(str::to_owned), args: args.map(texts) };
            image.command(&job).map(|c| [vec![c.program], c.args].concat().join(" "))
        };
        let words = |text: &str| Some(text.to_owned());
        assert_eq!(run(None, None, None), words("/entry serve -x"));
        assert_eq!(run(None, None, Some(&["-y"])), words("/entry -y"));
        assert_eq!(run(None, Some("go"), Some(&["-y"])), words("/entry go -y"));
        assert_eq!(run(None, Some("go"), None), words("/entry go"));
        assert_eq!(run(Some(&["/other", "-z"]), None, None), words("/other -z"));
        assert_eq!(run(Some(&["/other"]), Some("go"), None), words("/other go"));
        assert_eq!(run(Some(&[""]), Some("go"), None), words("go"));
        assert_eq!(run(Some(&[""]), None, None), None);
        assert_eq!(ImageConfig::default().command(&Overrides::default()), None);
    }

    #[test]
    fn a_configuration_is_read_and_checked() {
        let id = Digest::of(b"x");
        let text = |architecture: &str| {
            json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [id] },
                    "config": { "Env": ["A=1", "B=x=y", "odd", "=z"], "Cmd": ["/hello"], "WorkingDir": "/w", "Entrypoint": null, "User": "7" } })
            .to_string()
        };
        let amd64 = Platform::of("x86_64");
        let (config, ids) = read(text("amd64").as_bytes(), &amd64, 1).unwrap();
        assert_eq!((ids, config.work_dir.as_str(), config.user.as_str()), (vec![id], "/w", "7"));
        assert_eq!(config.env, [("A", "1"), ("B", "x=y")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert!(
            read(text("arm64").as_bytes(), &amd64, 1).unwrap_err().to_string().contains("for linux/arm64, but this node needs linux/amd64")
        );
        assert!(read(text("amd64").as_bytes(), &amd64, 2).unwrap_err().to_string().contains("2 layers"));
        assert!(read(b"{}", &amd64, 0).is_err());
    }
}

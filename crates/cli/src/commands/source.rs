//! Job files: read, parsed, with the values of their variables.

use crate::{
    args::{JobFileArgs, VariableArgs},
    files::{Folder, read_bounded},
    output,
};
use anyhow::{Context, anyhow, bail};
use floe_jobspec::{Format, Limits, NoFiles, ParseInput, VariableFile, Variables, limits::MAX_SOURCE_BYTES};
use floe_model::{Job, job::JobSubmission};
use std::{io::Read, path::Path};

/// The variables of the environment that are meant for job files.
const ENV_PREFIXES: [&str; 2] = ["NOMAD_VAR_", "FLOE_VAR_"];

/// A job with the text that it was made from.
pub(super) struct Source {
    pub(super) job: Job,
    pub(super) submission: JobSubmission,
}

/// Reads and parses a job file.
pub(super) fn read(args: &JobFileArgs) -> anyhow::Result<Source> {
    let name = args.file.to_string_lossy().into_owned();
    let text = if name == "-" { standard_input()? } else { file(&args.file)? };
    let format = match () {
        () if args.json => Format::Json,
        () if name == "-" => Format::sniff(&text),
        () => Format::from_path(&name),
    };
    let variables = variables(&args.variables)?;
    let folder;
    let mut input =
        ParseInput { source: &text, name: &name, format, files: &NoFiles, variables: variables.clone(), limits: Limits::default() };
    if name != "-" {
        folder = Folder::of(&args.file).with_context(|| format!("folder of {name}"))?;
        input.files = &folder;
    }
    let parsed = floe_jobspec::parse(&input).map_err(|e| anyhow!("{e}"))?;
    for warning in &parsed.warnings {
        output::warning(&warning.to_string());
    }
    let submission = JobSubmission {
        source: text.clone(),
        format: parsed.format.as_str().to_owned(),
        variable_flags: variables.flags,
        variables: variables.files.iter().map(|f| f.text.as_str()).collect::<Vec<_>>().join("\n"),
    };
    Ok(Source { job: parsed.job, submission })
}

fn file(path: &Path) -> anyhow::Result<String> {
    let bytes = read_bounded(path, MAX_SOURCE_BYTES).with_context(|| format!("read job file {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("job file {} is not text", path.display()))
}

fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(MAX_SOURCE_BYTES as u64 + 1).read_to_string(&mut text).context("read the job from standard input")?;
    if text.len() > MAX_SOURCE_BYTES {
        bail!("the job on standard input has more than {MAX_SOURCE_BYTES} bytes");
    }
    Ok(text)
}

fn variables(args: &VariableArgs) -> anyhow::Result<Variables> {
    let mut variables = Variables { strict: args.hcl2_strict, ..Variables::default() };
    for pair in &args.vars {
        let (name, value) = pair.split_once('=').ok_or_else(|| anyhow!("-var {pair:?}: write -var NAME=VALUE"))?;
        variables.flags.insert(name.trim().to_owned(), value.to_owned());
    }
    for path in &args.var_file {
        let name = path.to_string_lossy().into_owned();
        let bytes = read_bounded(path, MAX_SOURCE_BYTES).with_context(|| format!("read variable file {name}"))?;
        let text = String::from_utf8(bytes).with_context(|| format!("variable file {name} is not text"))?;
        variables.files.push(VariableFile { name, text });
    }
    for prefix in ENV_PREFIXES {
        for (key, value) in std::env::vars_os() {
            if let (Some(key), Some(value)) = (key.to_str().and_then(|k| k.strip_prefix(prefix)), value.to_str()) {
                variables.environment.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    Ok(variables)
}

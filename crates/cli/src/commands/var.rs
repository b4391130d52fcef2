//! `floe var ...`: variables, which the servers keep sealed.

use crate::{
    args::{ListForm, VarCommand, VarForm, VarGetArgs, VarPutArgs},
    files::read_bounded,
    output::{self, columns},
};
use anyhow::{Context, anyhow, bail};
use floe_api::{
    ApiClient, ApiError, Rows,
    types::{Variable, VariableMetadata},
};
use floe_model::{StringMap, wire};
use std::{io::Read, path::Path, process::ExitCode};

/// The most bytes of a specification, as of a request.
const MAX_SPEC_BYTES: usize = floe_api::MAX_BODY_BYTES;
/// What the server answers when somebody else was first.
const CONFLICT: u16 = 409;

pub(super) async fn command(client: &ApiClient, command: &VarCommand) -> anyhow::Result<ExitCode> {
    match command {
        VarCommand::Put(args) => put(client, args).await,
        VarCommand::Get(args) => get(client, args).await,
        VarCommand::List { prefix, filter, out } => list(client, prefix.as_deref().unwrap_or(""), filter.as_deref(), *out).await,
        VarCommand::Purge { path, check_index } => purge(client, path, *check_index).await,
    }
}

async fn put(client: &ApiClient, args: &VarPutArgs) -> anyhow::Result<ExitCode> {
    let wish = wish(args)?;
    let seen = (wish.modify_index > 0).then_some(wish.modify_index);
    let check_index = if args.force { None } else { args.check_index.or(seen) };
    let written = client.put_variable(&wish, check_index).await.map_err(in_words)?;
    show(&written, args.out)?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be written, from the specification and the items beside it.
fn wish(args: &VarPutArgs) -> anyhow::Result<Variable> {
    let is_spec = |word: &str| word == "-" || word.starts_with('@');
    let mut words = std::iter::once(&args.target).chain(&args.items).peekable();
    let path = words.next_if(|word| !is_spec(word)).cloned();
    let mut wish = match words.next_if(|word| is_spec(word)) {
        Some(word) => specification(word)?,
        None => Variable::default(),
    };
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| anyhow!("{word:?} is no item: write KEY=VALUE, or KEY=@FILE"))?;
        wish.items.insert(key.to_owned(), value_of(key, value)?);
    }
    match path {
        Some(path) if !wish.path.is_empty() && wish.path != path => {
            bail!("the specification is for {:?}, and {path:?} was asked for", wish.path);
        }
        Some(path) => wish.path = path,
        None if wish.path.is_empty() => bail!("the specification names no Path: give it, as in floe var put PATH @FILE"),
        None => {}
    }
    if wish.items.is_empty() {
        bail!("there is nothing to write: give items, as in floe var put {} KEY=VALUE", wish.path);
    }
    Ok(wish)
}

fn specification(word: &str) -> anyhow::Result<Variable> {
    let bytes = match word.strip_prefix('@') {
        Some(file) => read_bounded(Path::new(file), MAX_SPEC_BYTES).with_context(|| format!("read the specification {file}"))?,
        None => standard_input()?,
    };
    let what = if word == "-" { "the specification on standard input" } else { word };
    let decoded = wire::from_slice::<Variable>(&bytes).map_err(|error| {
        anyhow!("{what} is no variable in JSON, such as {{\"Items\": {{\"KEY\": \"VALUE\"}}}}: {error}; not supported yet: HCL")
    })?;
    if let Some(unknown) = decoded.unknown.first() {
        bail!("{what} has a key that nobody knows: {unknown}");
    }
    Ok(decoded.value)
}

fn standard_input() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_SPEC_BYTES as u64 + 1).read_to_end(&mut bytes).context("read standard input")?;
    if bytes.len() > MAX_SPEC_BYTES {
        bail!("standard input has more than {MAX_SPEC_BYTES} bytes");
    }
    Ok(bytes)
}

fn value_of(key: &str, word: &str) -> anyhow::Result<String> {
    if let Some(file) = word.strip_prefix('@') {
        let bytes = read_bounded(Path::new(file), MAX_SPEC_BYTES).with_context(|| format!("read the value of {key:?} from {file}"))?;
        return String::from_utf8(bytes).map_err(|_| anyhow!("{file} is no text (UTF-8): encode it, as with base64, to make it a value"));
    }
    Ok(if word.starts_with("\\@") { word.replacen('\\', "", 1) } else { word.to_owned() })
}

async fn get(client: &ApiClient, args: &VarGetArgs) -> anyhow::Result<ExitCode> {
    let variable = client.variable(&args.path).await?;
    let Some(item) = &args.item else {
        show(&variable, args.out)?;
        return Ok(ExitCode::SUCCESS);
    };
    let known = || variable.items.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let value = variable.items.get(item).ok_or_else(|| anyhow!("the variable {:?} has no item {item:?}; it has {}", args.path, known()))?;
    output::line(value);
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &ApiClient, prefix: &str, filter: Option<&str>, form: ListForm) -> anyhow::Result<ExitCode> {
    let found = client.variables(Rows { prefix, filter }).await?;
    match form {
        ListForm::Json => output::json(&found)?,
        ListForm::Terse => found.iter().for_each(|variable| output::line(&variable.path)),
        ListForm::Table if found.is_empty() => output::line("No variables found"),
        ListForm::Table => output::line(columns(&table(&found))),
    }
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[VariableMetadata]) -> Vec<Vec<String>> {
    let row = |v: &VariableMetadata| vec![v.namespace.to_string(), v.path.clone(), output::moment(v.modify_time)];
    let head = ["Namespace", "Path", "Last Updated"].map(output::bold).to_vec();
    std::iter::once(head).chain(found.iter().map(row)).collect()
}

async fn purge(client: &ApiClient, path: &str, check_index: Option<u64>) -> anyhow::Result<ExitCode> {
    client.delete_variable(path, check_index).await.map_err(in_words)?;
    output::line(format!("Purged variable {path:?}, if it was there"));
    Ok(ExitCode::SUCCESS)
}

/// The variable that was in the way comes as JSON.
fn in_words(error: ApiError) -> anyhow::Error {
    let ApiError::Refused { status: CONFLICT, message, .. } = &error else { return error.into() };
    match serde_json::from_str::<Variable>(message) {
        Ok(found) if found.modify_index == 0 => anyhow!("the variable {:?} does not exist, so its index is not what was given", found.path),
        Ok(found) => anyhow!(
            "the variable {:?} has another index than was given: {}. Look at it (floe var get {0}), and give that one as -check-index",
            found.path,
            found.modify_index
        ),
        Err(_) => error.into(),
    }
}

fn show(variable: &Variable, form: VarForm) -> anyhow::Result<()> {
    match form {
        VarForm::None => {}
        VarForm::Json => output::json(variable)?,
        VarForm::Table => {
            let head = [
                ["Namespace".to_owned(), variable.namespace.to_string()],
                ["Path".to_owned(), variable.path.clone()],
                ["Create Time".to_owned(), output::moment(variable.create_time)],
                ["Last Updated".to_owned(), output::moment(variable.modify_time)],
                ["Check Index".to_owned(), variable.modify_index.to_string()],
            ];
            output::line(columns(&head.map(|[name, value]| vec![output::bold(&name), format!("= {value}")])));
            output::title("Items");
            output::line(columns(&items(&variable.items)));
        }
    }
    Ok(())
}

fn items(items: &StringMap) -> Vec<Vec<String>> {
    items.iter().map(|(key, value)| vec![output::bold(key), format!("= {value}")]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn args(words: &[&str]) -> VarPutArgs {
        let (target, items) = words.split_first().unwrap();
        VarPutArgs {
            target: (*target).to_owned(),
            items: items.iter().map(|&word| word.to_owned()).collect(),
            check_index: None,
            force: false,
            out: VarForm::None,
        }
    }

    fn refused(words: &[&str]) -> String {
        format!("{:#}", wish(&args(words)).unwrap_err())
    }

    #[test]
    fn items_come_from_words_files_and_specifications() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (pem, spec) =
            (file("pem", "line\nline\n"), file("spec", r#"{"path": "from/spec", "items": {"a": "1", "b": "2"}, "modifyindex": 7}"#));
        let plain = wish(&args(&["p", "a=x=y", &format!("b=@{pem}"), "c=\\@z", "d="])).unwrap();
        let expected = [("a", "x=y"), ("b", "line\nline\n"), ("c", "@z"), ("d", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!((plain.path.as_str(), plain.items), ("p", expected.into()));
        let given = wish(&args(&[&format!("@{spec}"), "b=3"])).unwrap();
        assert_eq!(
            (given.path.as_str(), given.modify_index, given.items["a"].as_str(), given.items["b"].as_str()),
            ("from/spec", 7, "1", "3")
        );
        assert!(refused(&["other", &format!("@{spec}")]).contains("is for \"from/spec\""));
        assert!(refused(&[&format!("@{}", file("bad", "items { a = 1 }"))]).contains("not supported yet: HCL"));
        assert!(refused(&[&format!("@{}", file("odd", r#"{"Itemz": {}}"#))]).contains("Itemz"));
        assert!(refused(&[&format!("@{}", file("none", r#"{"Items": {"a": "b"}}"#))]).contains("names no Path"));
        std::fs::write(folder.path().join("binary"), [0xff]).unwrap();
        assert!(refused(&["p", &format!("a=@{}/binary", folder.path().display())]).contains("is no text"));
        assert!(refused(&["p", "a=@/nowhere"]).contains("/nowhere"));
        assert!(refused(&["p", "word"]).contains("is no item"));
        assert!(refused(&["p"]).contains("nothing to write"));
    }
}

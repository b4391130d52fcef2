//! The functions that templates may call, beside Go's own.
//!
//! The engine takes plain functions without state, so the values of the rendering under way stand in a thread-local; `with_env` sets it for
//! the time of one rendering, which never leaves its thread.

use floe_model::StringMap;
use gtmpl_ng::{Func, FuncError, Value};
use std::cell::RefCell;

thread_local! {
    static ENV: RefCell<StringMap> = const { RefCell::new(StringMap::new()) };
}

/// Name and function.
pub(crate) const ALL: &[(&str, Func)] = &[
    ("env", env),
    ("envOrDefault", env_or_default),
    ("mustEnv", must_env),
    ("toLower", to_lower),
    ("toUpper", to_upper),
    ("trimSpace", trim_space),
    ("replaceAll", replace_all),
    ("split", split),
    ("join", join),
];

/// Functions that other renderers of the same templates have, so that the error can say that they are to come.
const NOT_YET: &[&str] = &[
    "nomadServices",
    "nomadService",
    "nomadVarListSafe",
    "nomadVarExists",
    "nomadVarList",
    "nomadVar",
    "keyOrDefault",
    "keyExists",
    "key",
    "safeLs",
    "ls",
    "safeTree",
    "tree",
    "services",
    "service",
    "connect",
    "caRoots",
    "caLeaf",
    "nodes",
    "node",
    "datacenters",
    "secrets",
    "secret",
    "pkiCert",
    "file",
    "base64Decode",
    "base64Encode",
    "base64URLDecode",
    "base64URLEncode",
    "byKey",
    "byTag",
    "contains",
    "explode",
    "in",
    "loop",
    "parseBool",
    "parseFloat",
    "parseInt",
    "parseJSON",
    "parseUint",
    "parseYAML",
    "regexMatch",
    "regexReplaceAll",
    "sha256Hex",
    "md5sum",
    "hmacSHA256Hex",
    "timestamp",
    "toJSONPretty",
    "toJSON",
    "toTitle",
    "toTOML",
    "toYAML",
    "scratch",
    "add",
    "subtract",
    "multiply",
    "divide",
    "modulo",
    "minimum",
    "maximum",
    "plugin",
    "writeToFile",
    "executeTemplate",
    "sockaddr",
    "indent",
    "spew_dump",
    "trimPrefix",
    "trimSuffix",
    "trim",
    "sprig_",
];

/// The function of [`NOT_YET`] that a parse error speaks of.
pub(crate) fn not_yet(message: &str) -> Option<&'static str> {
    let words: Vec<&str> = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    if !message.contains("function") && !message.contains("defined") {
        return None;
    }
    NOT_YET.iter().find(|f| words.contains(f)).copied()
}

/// Runs a rendering with these values.
pub(crate) fn with_env<T>(env: &StringMap, f: impl FnOnce() -> T) -> T {
    let before = ENV.with(|e| std::mem::replace(&mut *e.borrow_mut(), env.clone()));
    let result = f();
    ENV.with(|e| *e.borrow_mut() = before);
    result
}

fn text(name: &str, args: &[Value], index: usize) -> Result<String, FuncError> {
    match args.get(index) {
        Some(Value::String(s)) => Ok(s.clone()),
        Some(Value::Nil | Value::NoValue) => Ok(String::new()),
        Some(other) => Ok(other.to_string()),
        None => Err(FuncError::AtLeastXArgs(name.to_owned(), index + 1)),
    }
}

fn exactly(name: &str, args: &[Value], count: usize) -> Result<(), FuncError> {
    if args.len() == count { Ok(()) } else { Err(FuncError::ExactlyXArgs(name.to_owned(), count)) }
}

fn lookup(key: &str) -> Option<String> {
    ENV.with(|e| e.borrow().get(key).cloned())
}

fn env(args: &[Value]) -> Result<Value, FuncError> {
    exactly("env", args, 1)?;
    Ok(Value::from(lookup(&text("env", args, 0)?).unwrap_or_default()))
}

fn env_or_default(args: &[Value]) -> Result<Value, FuncError> {
    exactly("envOrDefault", args, 2)?;
    let value = lookup(&text("envOrDefault", args, 0)?);
    Ok(Value::from(value.map_or_else(|| text("envOrDefault", args, 1), Ok)?))
}

fn must_env(args: &[Value]) -> Result<Value, FuncError> {
    exactly("mustEnv", args, 1)?;
    let key = text("mustEnv", args, 0)?;
    lookup(&key).map(Value::from).ok_or_else(|| FuncError::Generic(format!("mustEnv: variable {key:?} is not set")))
}

fn to_lower(args: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(text("toLower", args, 0)?.to_lowercase()))
}

fn to_upper(args: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(text("toUpper", args, 0)?.to_uppercase()))
}

fn trim_space(args: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(text("trimSpace", args, 0)?.trim().to_owned()))
}

/// `replaceAll OLD NEW TEXT`. The product is judged before it is made: replacing one character by a megabyte is the oldest bomb.
fn replace_all(args: &[Value]) -> Result<Value, FuncError> {
    exactly("replaceAll", args, 3)?;
    let (old, new, subject) = (text("replaceAll", args, 0)?, text("replaceAll", args, 1)?, text("replaceAll", args, 2)?);
    let product = subject.matches(old.as_str()).count().saturating_mul(new.len()).saturating_add(subject.len());
    if product > crate::MAX_OUTPUT_BYTES {
        return Err(FuncError::Generic(format!(
            "replaceAll: the result would have {product} bytes, more than {}",
            crate::MAX_OUTPUT_BYTES
        )));
    }
    Ok(Value::from(subject.replace(&old, &new)))
}

/// `split SEPARATOR TEXT`; empty pieces are left out, as in consul-template.
fn split(args: &[Value]) -> Result<Value, FuncError> {
    exactly("split", args, 2)?;
    let (separator, subject) = (text("split", args, 0)?, text("split", args, 1)?);
    let pieces =
        if separator.is_empty() { vec![subject] } else { subject.split(&separator).filter(|p| !p.is_empty()).map(str::to_owned).collect() };
    Ok(Value::Array(pieces.into_iter().map(Value::from).collect()))
}

/// `join SEPARATOR LIST`.
fn join(args: &[Value]) -> Result<Value, FuncError> {
    exactly("join", args, 2)?;
    let separator = text("join", args, 0)?;
    match args.get(1) {
        Some(Value::Array(items)) => {
            Ok(Value::from(items.iter().map(|i| text("join", std::slice::from_ref(i), 0)).collect::<Result<Vec<_>, _>>()?.join(&separator)))
        }
        _ => Err(FuncError::Generic("join: the second argument must be a list".to_owned())),
    }
}

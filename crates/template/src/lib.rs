//! Go templates as tasks use them: `{{ env "NOMAD_PORT_http" }}` and a few helpers.
//!
//! A template reads nothing but the values it is given, so what it renders changes only when its task is started anew. Functions that
//! would read the cluster (services, variables, secrets) are refused by name until they exist. Templates are hostile input: size, output,
//! loops and nesting are bounded.
#![forbid(unsafe_code)]

mod delimiters;
mod functions;

use floe_model::StringMap;
use gtmpl_ng::{Context, Limits, Template, Value};

/// Largest template in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Largest result in bytes.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// Turns of all loops together.
pub const MAX_ITERATIONS: usize = 100_000;

/// A template that cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Larger than [`MAX_SOURCE_BYTES`].
    #[error("template of {0} bytes is larger than the limit of {MAX_SOURCE_BYTES}")]
    TooLarge(usize),
    /// Uses a function that floe does not have yet.
    #[error(
        "not supported yet: template function {0:?}; supported are env, envOrDefault, mustEnv, toLower, toUpper, trimSpace, replaceAll, split, join and Go's own"
    )]
    NotSupportedYet(String),
    /// Not a template.
    #[error("parse template: {0}")]
    Parse(String),
    /// Failed while rendering.
    #[error("render template: {0}")]
    Render(String),
}

/// The marks that begin and end an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiters {
    /// What begins an action; empty for `{{`.
    pub left: String,
    /// What ends an action; empty for `}}`.
    pub right: String,
}

fn parse(source: &str, delimiters: &Delimiters) -> Result<Template, TemplateError> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(TemplateError::TooLarge(source.len()));
    }
    let mut limits = Limits::default();
    limits.output_bytes = Some(MAX_OUTPUT_BYTES);
    limits.total_iterations = Some(MAX_ITERATIONS);
    let mut template = Template::with_limits(limits);
    template.add_funcs(functions::ALL);
    template.parse(delimiters::normalise(source, delimiters)).map_err(|e| {
        let message = e.to_string();
        match functions::not_yet(&message) {
            Some(name) => TemplateError::NotSupportedYet(name.to_owned()),
            None => TemplateError::Parse(message),
        }
    })?;
    Ok(template)
}

/// Whether a template can be rendered, as far as that can be said without its values.
///
/// # Errors
/// When it is too large, no template, or uses a function that is not supported yet.
pub fn check(source: &str, delimiters: &Delimiters) -> Result<(), TemplateError> {
    parse(source, delimiters).map(|_| ())
}

/// Renders a template over a task's environment.
///
/// # Errors
/// As [`check`], and when a function fails or a bound is reached.
pub fn render(source: &str, delimiters: &Delimiters, env: &StringMap) -> Result<String, TemplateError> {
    let template = parse(source, delimiters)?;
    functions::with_env(env, || template.render(&Context::from(Value::NoValue))).map_err(|e| TemplateError::Render(e.to_string()))
}

/// Reads `KEY=VALUE` lines, as a template with `env = true` renders them: blank lines and `#` comments are skipped, a value may stand in
/// single or double quotes.
///
/// # Errors
/// Names the first line that is neither.
pub fn parse_env_file(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut vars = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, value) = line.split_once('=').ok_or_else(|| format!("line {}: expected KEY=VALUE", number + 1))?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(format!("line {}: {key:?} is not the name of a variable", number + 1));
        }
        let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        vars.push((key.to_owned(), quoted.unwrap_or(value).to_owned()));
    }
    Ok(vars)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plain() -> Delimiters {
        Delimiters { left: String::new(), right: String::new() }
    }
    fn run(source: &str) -> Result<String, TemplateError> {
        let env = [("NAME".to_owned(), "floe".to_owned()), ("LIST".to_owned(), "a,b".to_owned())].into();
        render(source, &plain(), &env)
    }

    #[test]
    fn values_and_helpers() {
        for (source, want) in [
            ("hello {{ env \"NAME\" }}", "hello floe"),
            ("{{ env \"NONE\" }}|", "|"),
            ("{{ envOrDefault \"NONE\" \"x\" }}", "x"),
            ("{{ \"NAME\" | env | toUpper }}", "FLOE"),
            ("{{ range split \",\" (env \"LIST\") }}[{{ . }}]{{ end }}", "[a][b]"),
            ("{{ if eq (env \"NAME\") \"floe\" }}yes{{ else }}no{{ end }}", "yes"),
            ("a{{- /* gone */ -}} b", "ab"),
            ("{{ replaceAll \"l\" \"L\" (env \"NAME\") }}{{ trimSpace \" x \" }}", "fLoex"),
            ("{{ join \"-\" (split \",\" (env \"LIST\")) }}", "a-b"),
            ("{{ printf \"%05d\" 42 }}", "00042"),
        ] {
            assert_eq!(run(source).as_deref(), Ok(want), "{source}");
        }
    }

    #[test]
    fn other_delimiters_leave_braces_alone() {
        let d = Delimiters { left: "[[".to_owned(), right: "]]".to_owned() };
        let env = [("NAME".to_owned(), "floe".to_owned())].into();
        assert_eq!(render("{{ x }} [[ env \"NAME\" ]] {{", &d, &env).as_deref(), Ok("{{ x }} floe {{"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(run("{{ nomadService \"db\" }}"), Err(TemplateError::NotSupportedYet("nomadService".to_owned())));
        assert!(matches!(run("{{ nonsense }}"), Err(TemplateError::Parse(m)) if m.contains("nonsense")));
        assert!(matches!(run("{{ if }}"), Err(TemplateError::Parse(_))));
        assert!(matches!(run("{{ mustEnv \"NONE\" }}"), Err(TemplateError::Render(m)) if m.contains("NONE")));
        assert!(check("{{ keyOrDefault \"a\" \"b\" }}", &plain()).is_err());
    }

    #[test]
    fn bounds_hold() {
        assert!(check(&"x".repeat(MAX_SOURCE_BYTES), &plain()).is_ok());
        assert_eq!(check(&"x".repeat(MAX_SOURCE_BYTES + 1), &plain()), Err(TemplateError::TooLarge(MAX_SOURCE_BYTES + 1)));
        let nested = format!("{}x{}", "{{ if true }}".repeat(500), "{{ end }}".repeat(500));
        assert!(run(&nested).is_err());
        let loops = "{{ range 1000 }}{{ range 1000 }}{{ range 1000 }}x{{ end }}{{ end }}{{ end }}";
        assert!(matches!(run(loops), Err(TemplateError::Render(_))));
        let doubling = "{{ $s := \"xxxxxxxxxxxxxxxx\" }}{{ range 64 }}{{ $s = print $s $s }}{{ end }}{{ $s }}";
        assert!(run(doubling).is_err());
    }

    #[test]
    fn environment_files_are_read() {
        let vars = parse_env_file("# comment\n\nA=1\nexport B = \"two words\"\nC='x=y'\nD=\n").unwrap();
        let want = [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(vars, want);
        assert_eq!(parse_env_file("A=1\noops"), Err("line 2: expected KEY=VALUE".to_owned()));
        assert!(parse_env_file("A B=1").is_err());
    }
}

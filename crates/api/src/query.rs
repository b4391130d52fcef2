//! The parameters that all routes share, read the way real clients write them.

use floe_model::{Namespace, Nanos, ids::DEFAULT_NAMESPACE};
use std::collections::BTreeMap;

/// The longest that a blocking query waits, in the words of the protocol 300 s.
pub const MAX_WAIT: Nanos = Nanos::from_mins(5);
/// The longest query string in bytes.
pub const MAX_QUERY_BYTES: usize = 8 * 1024;

/// A query, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    params: BTreeMap<String, String>,
}

/// A parameter that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid query parameter {name}: {reason}")]
pub struct QueryError {
    name: String,
    reason: String,
}

impl Query {
    /// Parses the part after `?`. Of a parameter that is given twice the first counts, as in Go.
    ///
    /// # Errors
    /// When it is longer than [`MAX_QUERY_BYTES`].
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(QueryError { name: "*".to_owned(), reason: format!("the query is longer than {MAX_QUERY_BYTES} bytes") });
        }
        let mut params = BTreeMap::new();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |s: &str| percent_encoding::percent_decode_str(&s.replace('+', " ")).decode_utf8_lossy().into_owned();
            params.entry(plain(key)).or_insert_with(|| plain(value));
        }
        Ok(Query { params })
    }

    /// All parameters, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The query as it stands in a URI, from the question mark on; nothing when there are no parameters.
    pub fn to_uri(&self) -> String {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> = self.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }

    /// A parameter's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// A switch, in Go's words for booleans; present without a value means true.
    ///
    /// # Errors
    /// When the value is none of those words.
    pub fn flag(&self, name: &str) -> Result<bool, QueryError> {
        match self.get(name) {
            None => Ok(false),
            Some("") => Ok(true),
            Some(word) => parse_bool(word).ok_or_else(|| bad(name, format!("{word:?} is not a boolean"))),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// When the value is no number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, QueryError> {
        self.get(name).filter(|v| !v.is_empty()).map(|v| v.parse().map_err(|_| bad(name, format!("{v:?} is not a number")))).transpose()
    }

    /// How long a blocking query waits: `wait`, at most [`MAX_WAIT`], which is also the default. Go's notation wants a unit, so
    /// a bare number is refused.
    ///
    /// # Errors
    /// When the value is no duration.
    pub fn wait(&self) -> Result<Nanos, QueryError> {
        let Some(text) = self.get("wait").filter(|t| !t.is_empty()) else { return Ok(MAX_WAIT) };
        let wait = Nanos::parse(text).map_err(|e| bad("wait", e.to_string()))?;
        Ok(if wait.0 <= 0 { MAX_WAIT } else { wait.min(MAX_WAIT) })
    }

    /// The namespace that is asked for; `*` for all of them.
    pub fn namespace(&self) -> Namespace {
        self.get("namespace").filter(|n| !n.is_empty()).unwrap_or(DEFAULT_NAMESPACE).into()
    }
}

/// A boolean in one of Go's words.
pub(crate) fn parse_bool(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn bad(name: &str, reason: String) -> QueryError {
    QueryError { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn switches_are_read_like_gos() {
        let q = Query::parse("stale&pretty=&a=t&b=False&c=maybe").unwrap();
        assert_eq!(
            [q.flag("stale"), q.flag("pretty"), q.flag("a"), q.flag("b"), q.flag("none")],
            [Ok(true), Ok(true), Ok(true), Ok(false), Ok(false)]
        );
        assert_eq!(q.flag("c").unwrap_err().to_string(), "invalid query parameter c: \"maybe\" is not a boolean");
    }

    #[test]
    fn waits_are_bounded() {
        let wait = |q: &str| Query::parse(q).unwrap().wait().map(|n| n.as_millis());
        assert_eq!(wait(""), Ok(300_000));
        assert_eq!(wait("wait=1500ms"), Ok(1_500));
        assert_eq!(wait("wait=1h"), Ok(300_000));
        assert!(wait("wait=5").is_err());
    }

    #[test]
    fn texts_are_unescaped_and_the_length_is_bounded() {
        let q = Query::parse("filter=Tags+contains+%22a%22&namespace=*").unwrap();
        assert_eq!(q.get("filter"), Some("Tags contains \"a\""));
        assert_eq!(q.namespace().as_str(), "*");
        assert!(Query::parse(&"x".repeat(MAX_QUERY_BYTES)).is_ok());
        assert!(Query::parse(&"x".repeat(MAX_QUERY_BYTES + 1)).is_err());
    }
}

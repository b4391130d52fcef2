//! Decoding JSON from people and from clients of many makes.
//!
//! Real clients write keys in any case, send `null` for "nothing" and add keys of their own. [`from_value`] accepts that: keys are
//! matched without regard to case, `null` is the default, unknown keys are gathered and returned with their paths so that the
//! caller can refuse them (job files) or warn of them (the API). Errors name the place: `TaskGroups[0].Tasks[1].Resources.CPU`.

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde_json::Value;
use std::{cell::RefCell, fmt};

/// How deep a document may nest; the job language needs 12.
pub const MAX_DEPTH: usize = 64;
/// How many unknown keys are reported before the rest is only counted.
pub const MAX_UNKNOWN: usize = 32;

/// A document that does not have the form that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", at(.path))]
pub struct WireError {
    /// Where, from the outside in; empty for the whole document.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// A decoded value with the keys that nothing knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<T> {
    /// The value.
    pub value: T,
    /// Paths of keys that were ignored, at most [`MAX_UNKNOWN`].
    pub unknown: Vec<String>,
}

/// Decodes `value`, accepting any case of keys and `null` for a default.
///
/// # Errors
/// When a value has the wrong type, or the document nests deeper than [`MAX_DEPTH`].
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<Decoded<T>, WireError> {
    let unknown = RefCell::new(Vec::new());
    let node = Node { value, depth: 0, path: String::new(), unknown: &unknown };
    let decoded = T::deserialize(node)?;
    Ok(Decoded { value: decoded, unknown: unknown.into_inner() })
}

/// Decodes text; see [`from_value`].
///
/// # Errors
/// As [`from_value`], and when the text is not JSON (the message has line and column).
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<Decoded<T>, WireError> {
    let value = serde_json::from_slice(json).map_err(|e| WireError { path: String::new(), message: format!("invalid JSON: {e}") })?;
    from_value(value)
}

impl de::Error for WireError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        WireError { path: String::new(), message: message.to_string() }
    }
}

impl WireError {
    /// The error, seen from one level further out.
    fn under(mut self, path: &str) -> Self {
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        self
    }
}

struct Node<'u> {
    value: Value,
    depth: usize,
    path: String,
    unknown: &'u RefCell<Vec<String>>,
}

impl<'u> Node<'u> {
    fn child(&self, value: Value, path: String) -> Node<'u> {
        Node { value, depth: self.depth + 1, path, unknown: self.unknown }
    }
    fn wrong(&self, expected: &dyn de::Expected) -> WireError {
        let found = match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => format!("the boolean {b}"),
            Value::Number(n) => format!("the number {n}"),
            Value::String(s) => format!("the text {:?}", s.chars().take(40).collect::<String>()),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        WireError { path: self.path.clone(), message: format!("found {found}, expected {expected}") }
    }
}

macro_rules! scalars {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> { self.deserialize_any(visitor) }
    )*};
}

impl<'de> de::Deserializer<'de> for Node<'_> {
    type Error = WireError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        if self.depth > MAX_DEPTH {
            return Err(WireError { path: self.path, message: format!("nested deeper than {MAX_DEPTH} levels") });
        }
        let path = self.path.clone();
        let result = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(b),
            Value::Number(ref n) => {
                if let Some(i) = n.as_i64() {
                    visitor.visit_i64(i)
                } else if let Some(u) = n.as_u64() {
                    visitor.visit_u64(u)
                } else {
                    visitor.visit_f64(n.as_f64().unwrap_or(f64::NAN))
                }
            }
            Value::String(s) => visitor.visit_string(s),
            Value::Array(_) => return self.deserialize_seq(visitor),
            Value::Object(_) => return self.deserialize_map(visitor),
        };
        result.map_err(|e: WireError| e.under(&path))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, WireError> {
        match self.value.take() {
            // Go writes a nil slice as null, and a single block may stand for a list of one.
            Value::Null => visitor.visit_seq(Items { node: &self, items: Vec::new().into_iter(), at: 0 }),
            Value::Array(items) => visitor.visit_seq(Items { node: &self, items: items.into_iter(), at: 0 }),
            other => {
                self.value = other;
                Err(self.wrong(&"a list"))
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, WireError> {
        match self.value.take() {
            Value::Null => {
                visitor.visit_map(Entries { node: &self, fields: None, entries: serde_json::Map::new().into_iter(), next: None })
            }
            Value::Object(map) => visitor.visit_map(Entries { node: &self, fields: None, entries: map.into_iter(), next: None }),
            other => {
                self.value = other;
                Err(self.wrong(&"an object"))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WireError> {
        if self.depth > MAX_DEPTH {
            return Err(WireError { path: self.path, message: format!("nested deeper than {MAX_DEPTH} levels") });
        }
        match self.value.take() {
            Value::Null => {
                visitor.visit_map(Entries { node: &self, fields: Some(fields), entries: serde_json::Map::new().into_iter(), next: None })
            }
            Value::Object(map) => visitor.visit_map(Entries { node: &self, fields: Some(fields), entries: map.into_iter(), next: None }),
            other => {
                self.value = other;
                Err(self.wrong(&"an object"))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, WireError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WireError> {
        match self.value {
            Value::String(s) => visitor.visit_enum(s.into_deserializer()),
            _ => Err(self.wrong(&"text")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WireError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, WireError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, WireError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _name: &'static str, _len: usize, visitor: V) -> Result<V::Value, WireError> {
        self.deserialize_seq(visitor)
    }

    scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_identifier
    }
}

struct Items<'n, 'u> {
    node: &'n Node<'u>,
    items: std::vec::IntoIter<Value>,
    at: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = WireError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, WireError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let path = format!("{}[{}]", self.node.path, self.at);
        self.at += 1;
        seed.deserialize(self.node.child(item, path.clone())).map(Some).map_err(|e| e.under(&path))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len().min(1024))
    }
}

struct Entries<'n, 'u> {
    node: &'n Node<'u>,
    /// The fields of a struct; `None` for a free map.
    fields: Option<&'static [&'static str]>,
    entries: serde_json::map::IntoIter,
    next: Option<(String, Value)>,
}

impl Entries<'_, '_> {
    fn path_of(&self, key: &str) -> String {
        if self.node.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.node.path) }
    }
    fn note_unknown(&self, key: &str, fields: &[&str]) {
        let mut unknown = self.node.unknown.borrow_mut();
        if unknown.len() < MAX_UNKNOWN {
            let near = nearest(key, fields).map(|n| format!(" (did you mean {n}?)")).unwrap_or_default();
            unknown.push(format!("{}{near}", self.path_of(key)));
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, WireError> {
        while let Some((key, value)) = self.entries.next() {
            let Some(fields) = self.fields else {
                self.next = Some((key.clone(), value));
                let path = self.path_of(&key);
                return seed.deserialize(de::value::StringDeserializer::<WireError>::new(key)).map(Some).map_err(|e| e.under(&path));
            };
            let Some(field) = fields.iter().find(|f| **f == key).or_else(|| fields.iter().find(|f| f.eq_ignore_ascii_case(&key))) else {
                self.note_unknown(&key, fields);
                continue;
            };
            if value.is_null() {
                continue;
            }
            self.next = Some(((*field).to_owned(), value));
            return seed.deserialize(de::value::BorrowedStrDeserializer::<WireError>::new(field)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, WireError> {
        let (key, value) = self.next.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        let path = self.path_of(&key);
        seed.deserialize(self.node.child(value, path.clone())).map_err(|e| e.under(&path))
    }
}

/// The field that `key` is probably a misspelling of: at most two edits away.
pub fn nearest<'a>(key: &str, fields: &[&'a str]) -> Option<&'a str> {
    fields
        .iter()
        .map(|f| (distance(&key.to_ascii_lowercase(), &f.to_ascii_lowercase()), *f))
        .filter(|(d, f)| *d <= 2 && *d < f.len())
        .min()
        .map(|(_, f)| f)
}

/// Levenshtein's distance, with keys cut at 64 characters so that hostile input costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut previous = i;
        let mut left = i + 1;
        for (cb, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let next = (previous + usize::from(ca != cb)).min(left + 1).min(*cell + 1);
            previous = *cell;
            *cell = next;
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::Job;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn keys_match_in_any_case_and_null_is_the_default() {
        let d = from_value::<Job>(
            json!({"id": "web", "TASKGROUPS": [{"name": "g", "COUNT": 3, "Tasks": null}], "Meta": null, "Priority": null}),
        )
        .unwrap();
        assert_eq!(d.value.id, "web");
        assert_eq!(d.value.task_groups[0].count, Some(3));
        assert_eq!(d.value.priority, None);
        assert!(d.unknown.is_empty());
    }

    #[test]
    fn errors_name_the_place() {
        let e = from_value::<Job>(json!({"TaskGroups": [{}, {"Tasks": [{"Resources": {"CPU": "much"}}]}]})).unwrap_err();
        assert_eq!(e.path, "TaskGroups[1].Tasks[0].Resources.CPU");
        assert!(e.to_string().contains("invalid type: string \"much\", expected i64"), "{e}");
        let e = from_value::<Job>(json!({"TaskGroups": {"web": {}}})).unwrap_err();
        assert_eq!(e.to_string(), "TaskGroups: found an object, expected a list");
        let e = from_value::<Job>(json!({"Type": "servce"})).unwrap_err();
        assert!(e.to_string().starts_with("Type: unknown value \"servce\", expected one of: service, batch"), "{e}");
        let e = from_value::<Job>(json!({"Update": {"Stagger": "5 parsecs"}})).unwrap_err();
        assert!(e.to_string().starts_with("Update.Stagger: invalid duration"), "{e}");
    }

    #[test]
    fn unknown_keys_are_gathered_with_a_suggestion() {
        let d = from_value::<Job>(json!({"TaskGroups": [{"Name": "g", "Cuont": 3, "Zebra": 1}]})).unwrap();
        assert_eq!(d.unknown, vec!["TaskGroups[0].Cuont (did you mean Count?)", "TaskGroups[0].Zebra"]);
        let many: serde_json::Map<String, Value> = (0..MAX_UNKNOWN + 1).map(|i| (format!("xxxxxxxxx{i}"), json!(1))).collect();
        assert_eq!(from_value::<Job>(Value::Object(many)).unwrap().unknown.len(), MAX_UNKNOWN);
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn depth_is_bounded() {
        let job = |inner| json!({"TaskGroups": [{"Tasks": [{"Config": inner}]}]});
        let used = 5;
        assert!(from_value::<Job>(job(nested(MAX_DEPTH - used))).is_ok());
        let e = from_value::<Job>(job(nested(MAX_DEPTH - used + 1))).unwrap_err();
        assert!(e.to_string().contains("nested deeper than 64 levels"), "{e}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_slice::<Job>(&bytes);
        }
    }
}

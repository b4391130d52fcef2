//! Functions that encode and decode.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Call, Done, Failure, Function, function};
use crate::value::{Entries, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function("base64decode", 1, 1, base64_decode),
    function("base64encode", 1, 1, |c| c.make_text(STANDARD.encode(c.text(0)?.as_bytes()))),
    function("csvdecode", 1, 1, csv_decode),
    function("jsondecode", 1, 1, json_decode),
    function("jsonencode", 1, 1, |c| c.make_text(json_text(c, c.arg(0))?)),
    function("urlencode", 1, 1, url_encode),
];

fn base64_decode(c: &Call<'_>) -> Done {
    let bytes = STANDARD.decode(c.text(0)?.as_bytes()).map_err(|e| format!("invalid base64: {e}"))?;
    match String::from_utf8(bytes) {
        Ok(text) => c.make_text(text),
        Err(_) => Err("the decoded bytes are not UTF-8 text".into()),
    }
}

fn json_decode(c: &Call<'_>) -> Done {
    let json: serde_json::Value = serde_json::from_str(&c.text(0)?).map_err(|e| format!("invalid JSON: {e}"))?;
    Ok(Value::from_json(&json, c.budget)?)
}

/// JSON as Go writes it: safe inside HTML.
pub(super) fn json_text(c: &Call<'_>, value: &Value) -> Result<String, Failure> {
    c.room(value.bytes())?;
    let text = value.to_json().to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return Ok(text);
    }
    c.room(text.len().saturating_mul(2))?;
    let mut out = String::with_capacity(text.len() + 64);
    for x in text.chars() {
        match x {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(x))),
            other => out.push(other),
        }
    }
    Ok(out)
}

fn url_encode(c: &Call<'_>) -> Done {
    use std::fmt::Write as _;
    let text = c.text(0)?;
    c.room(text.len().saturating_mul(3))?;
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            // Writing into a string does not fail.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    c.make_text(out)
}

fn csv_decode(c: &Call<'_>) -> Done {
    let text = c.text(0)?;
    let mut rows = csv_rows(&text)?.into_iter();
    let header = rows.next().ok_or("the first line must name the columns")?;
    let mut out = Vec::new();
    for (i, row) in rows.enumerate() {
        if row.len() != header.len() {
            return Err(format!("row {} has {} fields, the header has {}", i + 1, row.len(), header.len()).into());
        }
        let mut entries = Entries::new();
        for (name, field) in header.iter().zip(row) {
            entries.insert(name.as_str().into(), c.make_text(field)?);
        }
        out.push(c.make_map(entries)?);
    }
    c.make_list(out)
}

/// RFC 4180: commas, lines, double quotes that are doubled inside quotes. Empty lines are passed over.
fn csv_rows(text: &str) -> Result<Vec<Vec<String>>, Failure> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut chars = text.chars().peekable();
    let mut was_quoted = false;
    while let Some(x) = chars.next() {
        match x {
            '"' if field.is_empty() && !was_quoted => {
                was_quoted = true;
                loop {
                    match chars.next() {
                        Some('"') if chars.next_if_eq(&'"').is_some() => field.push('"'),
                        Some('"') => break,
                        Some(other) => field.push(other),
                        None => return Err("a quoted field has no closing quote".into()),
                    }
                }
            }
            ',' => {
                row.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                if !row.is_empty() || !field.is_empty() || was_quoted {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                was_quoted = false;
            }
            other => field.push(other),
        }
    }
    if !row.is_empty() || !field.is_empty() || was_quoted {
        row.push(field);
        rows.push(row);
    }
    Ok(rows)
}

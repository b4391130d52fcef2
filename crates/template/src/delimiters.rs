//! Other delimiters: the engine knows only `{{` and `}}`, so a template with others is rewritten to those.

use crate::Delimiters;

/// The same template with `{{` and `}}`. Braces that are plain text there become an action that prints them.
pub(crate) fn normalise(source: &str, delimiters: &Delimiters) -> String {
    let left = if delimiters.left.is_empty() { "{{" } else { &delimiters.left };
    let right = if delimiters.right.is_empty() { "}}" } else { &delimiters.right };
    if (left, right) == ("{{", "}}") {
        return source.to_owned();
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((text, after)) = rest.split_once(left) {
        out.push_str(&literal(text));
        let Some((action, tail)) = after.split_once(right) else {
            // An action without an end: the engine says so.
            out.push_str("{{");
            out.push_str(after);
            return out;
        };
        out.push_str("{{");
        out.push_str(action);
        out.push_str("}}");
        rest = tail;
    }
    out.push_str(&literal(rest));
    out
}

fn literal(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

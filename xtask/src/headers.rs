//! Every source file opens with `//!`: what it is for and what it must never do.

/// A violation when the first line of a file is not an inner doc comment with words in it.
pub(crate) fn check(path: &str, text: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or_default();
    let opens_well = first.strip_prefix("//!").is_some_and(|rest| rest.starts_with(' ') && !rest.trim().is_empty());
    (!opens_well).then(|| format!("{path}:1: the file does not open with `//! what it is for`"))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_doc_comment_on_the_first_line_passes() {
        assert_eq!(check("a.rs", "//! Adds numbers.\nfn main() {}"), None);
    }

    #[test]
    fn anything_else_is_named() {
        for text in ["", "//!\n", "//! \n", "// plain\n", "use std::fs;\n", "\n//! too late\n", "/// outer\n"] {
            let violation = check("a.rs", text);
            assert!(violation.is_some_and(|text| text.starts_with("a.rs:1:")), "{text:?} passed");
        }
    }
}

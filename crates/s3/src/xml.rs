//! The answers of a store. They are read with bounds and without DTDs, and looked through for what is needed and nothing else.

use crate::error::Reason;
use percent_encoding::percent_decode_str;
use roxmltree::{Document, Node, ParsingOptions};

/// The most elements and texts of an answer.
const MAX_NODES: u32 = 100_000;

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub(crate) next: Option<T>,
}

fn wrong(why: impl ToString) -> Reason {
    Reason::Answer(why.to_string())
}

/// Reads an answer whose root must be `root`.
fn read<T>(body: &[u8], root: &str, take: impl FnOnce(Node<'_, '_>) -> Result<T, Reason>) -> Result<T, Reason> {
    let text = std::str::from_utf8(body).map_err(wrong)?;
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(wrong)?;
    let found = document.root_element();
    if found.tag_name().name() != root {
        return Err(wrong(format!("it is {:?} where {root} should be", found.tag_name().name())));
    }
    take(found)
}

/// The text of a child; empty when there is none.
fn child<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    node.children().find(|c| c.tag_name().name() == name).and_then(|c| c.text()).unwrap_or_default()
}

/// The same, where it is escaped as in a query.
fn unescaped(node: Node<'_, '_>, name: &str) -> Result<String, Reason> {
    let text = child(node, name).replace('+', " ");
    percent_decode_str(&text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(wrong)
}

/// The store's word for what went wrong, and what it says of it; `None` when that is not what it answered.
pub(crate) fn error(body: &[u8]) -> Option<(String, String)> {
    read(body, "Error", |root| Ok((child(root, "Code").to_owned(), child(root, "Message").to_owned()))).ok()
}

/// The keys and sizes of a page, and the token of the next.
pub(crate) fn objects(body: &[u8]) -> Result<Page<(String, u64)>, Reason> {
    read(body, "ListBucketResult", |root| {
        let mut entries = Vec::new();
        for entry in root.children().filter(|c| c.tag_name().name() == "Contents") {
            let size = child(entry, "Size").parse().map_err(|_| wrong("an object has no size"))?;
            entries.push((unescaped(entry, "Key")?, size));
        }
        let token = child(root, "NextContinuationToken");
        next(root, (!token.is_empty()).then(|| (token.to_owned(), 0))).map(|next| Page { entries, next })
    })
}

/// The keys and ids of uploads that nobody ended, and where the next page begins.
pub(crate) fn uploads(body: &[u8]) -> Result<Page<(String, String)>, Reason> {
    read(body, "ListMultipartUploadsResult", |root| {
        let mut entries = Vec::new();
        for entry in root.children().filter(|c| c.tag_name().name() == "Upload") {
            entries.push((child(entry, "Key").to_owned(), child(entry, "UploadId").to_owned()));
        }
        let marker = (child(root, "NextKeyMarker").to_owned(), child(root, "NextUploadIdMarker").to_owned());
        next(root, (!marker.0.is_empty()).then_some(marker)).map(|next| Page { entries, next })
    })
}

/// Where the next page begins, if there is one.
fn next<T>(root: Node<'_, '_>, marker: Option<T>) -> Result<Option<T>, Reason> {
    match child(root, "IsTruncated") == "true" {
        false => Ok(None),
        true => marker.map(Some).ok_or_else(|| wrong("it goes on and does not say where")),
    }
}

/// The id of an upload that began.
pub(crate) fn upload_id(body: &[u8]) -> Result<String, Reason> {
    read(body, "InitiateMultipartUploadResult", |root| {
        let id = child(root, "UploadId");
        if id.is_empty() { Err(wrong("the upload has no id")) } else { Ok(id.to_owned()) }
    })
}

/// What ends an upload: all its parts, by number and tag.
pub(crate) fn complete(tags: &[String]) -> String {
    let parts = tags.iter().zip(1..).map(|(tag, number)| {
        let tag = tag.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
    });
    format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</CompleteMultipartUpload>",
        parts.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_page_has_keys_and_sizes_and_says_how_it_goes_on() {
        let page = objects(
            br#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated>
               <Contents><Key>a%2Fb+c%20d</Key><Size>7</Size></Contents><Contents><Size>0</Size><Key>e</Key></Contents>
               <NextContinuationToken>t=1</NextContinuationToken></ListBucketResult>"#,
        );
        let page = page.unwrap();
        assert_eq!(page.entries, [("a/b c d".to_owned(), 7), ("e".to_owned(), 0)]);
        assert_eq!(page.next, Some(("t=1".to_owned(), 0)));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let why = |body: &[u8]| objects(body).unwrap_err().to_string();
        assert!(why(b"<html>").contains("cannot be read"));
        assert!(why(b"<html/>").contains("ListBucketResult should be"));
        assert!(why(b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>").contains("does not say where"));
        assert!(why(b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>").contains("no size"));
        assert!(why(b"<!DOCTYPE a [<!ENTITY x \"y\">]><ListBucketResult/>").contains("cannot be read"), "no DTDs");
        assert!(upload_id(b"<InitiateMultipartUploadResult/>").is_err());
        assert_eq!(error(b"<Error><Code>A</Code><Message>b</Message></Error>"), Some(("A".to_owned(), "b".to_owned())));
        assert_eq!(error(b"gateway"), None);
    }
}

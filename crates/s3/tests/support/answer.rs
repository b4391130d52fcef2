//! What a store does when it is asked.

use super::{BUCKET, Begun, PAGE, State, Stored};
use bytes::Bytes;
use hyper::{Method, http::request::Parts};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::BTreeMap;

/// A request, understood.
pub struct Asked<'a> {
    /// list, put, head, delete, begin, part, complete, abort, uploads; `unknown` for the rest.
    pub operation: &'static str,
    key: String,
    query: BTreeMap<String, String>,
    meta: BTreeMap<String, String>,
    body: &'a Bytes,
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

impl<'a> Asked<'a> {
    pub fn read(parts: &Parts, body: &'a Bytes) -> Self {
        let path = decode(parts.uri.path());
        let key = path.strip_prefix(&format!("/{BUCKET}/")).map(str::to_owned);
        let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query: BTreeMap<String, String> =
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect();
        let meta = parts.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let meta =
            meta.filter(|(name, _)| name.starts_with("x-amz-meta-")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let operation = operation(parts, key.as_deref(), &query);
        Self { operation, key: key.unwrap_or_default(), query, meta, body }
    }
}

fn operation(parts: &Parts, key: Option<&str>, query: &BTreeMap<String, String>) -> &'static str {
    let (has, is_object) = (|name: &str| query.contains_key(name), key.is_some_and(|key| !key.is_empty()));
    match (&parts.method, key.is_some(), is_object) {
        (&Method::GET, true, false) if has("uploads") => "uploads",
        (&Method::GET, true, false) if query.get("list-type").is_some_and(|t| t == "2") => "list",
        (&Method::PUT, _, true) if has("partNumber") && has("uploadId") => "part",
        (&Method::PUT, _, true) if query.is_empty() => "put",
        (&Method::HEAD, _, true) => "head",
        (&Method::DELETE, _, true) if has("uploadId") => "abort",
        (&Method::DELETE, _, true) if query.is_empty() => "delete",
        (&Method::POST, _, true) if has("uploads") => "begin",
        (&Method::POST, _, true) if has("uploadId") => "complete",
        _ => "unknown",
    }
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Reply {
    fn ok(body: impl Into<Bytes>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self { status, ..Self::ok(body) }
    }
    pub fn late_error() -> Self {
        Self { status: 200, ..Self::error(500, "InternalError", "late") }
    }
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// Does what is asked. `by_half`: keeps only a half of what it is given.
pub fn answer(state: &mut State, asked: &Asked<'_>, by_half: bool) -> Reply {
    let kept = |bytes: &Bytes| if by_half { bytes.slice(..bytes.len() / 2) } else { bytes.clone() };
    let no_upload = || Reply::error(404, "NoSuchUpload", "it is not there");
    let id = asked.query.get("uploadId").cloned().unwrap_or_default();
    match asked.operation {
        "list" => list(state, asked),
        "uploads" => uploads(state, asked),
        "put" => {
            state.objects.insert(asked.key.clone(), Stored { bytes: kept(asked.body), meta: asked.meta.clone() });
            Reply::ok("").with("etag", "\"x\"")
        }
        "head" => match state.objects.get(&asked.key) {
            None => Reply::error(404, "NoSuchKey", ""),
            Some(stored) => {
                let reply = Reply::ok("").with("content-length", &stored.bytes.len().to_string());
                stored.meta.iter().fold(reply, |reply, (name, value)| reply.with(name, value))
            }
        },
        "delete" => {
            state.objects.remove(&asked.key);
            Reply { status: 204, ..Reply::ok("") }
        }
        "begin" => {
            state.uploads_begun += 1;
            let id = format!("up/{}+=", state.uploads_begun);
            state.uploads.insert(id.clone(), Begun { key: asked.key.clone(), meta: asked.meta.clone(), parts: BTreeMap::new() });
            Reply::ok(format!("<InitiateMultipartUploadResult {NAMESPACE}><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
        }
        "part" => match state.uploads.get_mut(&id) {
            None => no_upload(),
            Some(begun) => {
                let number: u32 = asked.query["partNumber"].parse().unwrap();
                begun.parts.insert(number, kept(asked.body));
                Reply::ok("").with("etag", &format!("\"part-{number}\""))
            }
        },
        "complete" => complete(state, asked, &id, by_half),
        "abort" => state.uploads.remove(&id).map_or_else(no_upload, |_| Reply { status: 204, ..Reply::ok("") }),
        _ => Reply::error(400, "NotImplemented", "the store in tests does not know this request"),
    }
}

fn complete(state: &mut State, asked: &Asked<'_>, id: &str, by_half: bool) -> Reply {
    let Some(begun) = state.uploads.get(id) else { return Reply::error(404, "NoSuchUpload", "it is not there") };
    let named: String =
        begun.parts.keys().map(|n| format!("<Part><PartNumber>{n}</PartNumber><ETag>&quot;part-{n}&quot;</ETag></Part>")).collect();
    if !String::from_utf8_lossy(asked.body).contains(&format!(">{named}</CompleteMultipartUpload>")) || begun.key != asked.key {
        return Reply::error(400, "InvalidPart", "the parts are not those that came");
    }
    let begun = state.uploads.remove(id).unwrap();
    let bytes: Bytes = begun.parts.values().flat_map(|part| part.iter().copied()).collect();
    let bytes = if by_half { bytes.slice(..bytes.len() / 2) } else { bytes };
    state.objects.insert(begun.key, Stored { bytes, meta: begun.meta });
    Reply::ok(format!("<CompleteMultipartUploadResult {NAMESPACE}><ETag>x</ETag></CompleteMultipartUploadResult>"))
}

fn list(state: &State, asked: &Asked<'_>) -> Reply {
    let prefix = &asked.query["prefix"];
    let after = asked.query.get("continuation-token").map(|token| decode(token.strip_prefix("after=").unwrap()));
    let size = asked.query["max-keys"].parse::<usize>().unwrap().min(PAGE);
    let mut found =
        state.objects.iter().filter(|(key, _)| key.starts_with(prefix.as_str()) && after.as_ref().is_none_or(|after| *key > after));
    let page: Vec<_> = found.by_ref().take(size).collect();
    let rest = page.last().filter(|_| found.next().is_some());
    let next = rest
        .map(|(key, _)| format!("<NextContinuationToken>after={}</NextContinuationToken>", utf8_percent_encode(key, NON_ALPHANUMERIC)))
        .unwrap_or_default();
    let entries: String = page
        .iter()
        .map(|(key, stored)| (utf8_percent_encode(key, NON_ALPHANUMERIC), stored.bytes.len()))
        .map(|(key, size)| format!("<Contents><Key>{key}</Key><LastModified>x</LastModified><Size>{size}</Size></Contents>"))
        .collect();
    Reply::ok(format!("<ListBucketResult {NAMESPACE}><IsTruncated>{}</IsTruncated>{entries}{next}</ListBucketResult>", rest.is_some()))
}

fn uploads(state: &State, asked: &Asked<'_>) -> Reply {
    let prefix = &asked.query["prefix"];
    let marker = |name: &str| asked.query.get(name).cloned().unwrap_or_default();
    let after = (marker("key-marker"), marker("upload-id-marker"));
    let mut all: Vec<(String, String)> = state.uploads.iter().map(|(id, begun)| (begun.key.clone(), id.clone())).collect();
    all.retain(|entry| entry.0.starts_with(prefix.as_str()) && *entry > after);
    all.sort();
    let page = &all[..all.len().min(PAGE)];
    let next = page.last().filter(|_| all.len() > PAGE);
    let markers = next.map(|(key, id)| format!("<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>"));
    let entries: String = page.iter().map(|(key, id)| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")).collect();
    let (markers, is_cut) = (markers.unwrap_or_default(), next.is_some());
    Reply::ok(format!(
        "<ListMultipartUploadsResult {NAMESPACE}><IsTruncated>{is_cut}</IsTruncated>{markers}{entries}</ListMultipartUploadsResult>"
    ))
}

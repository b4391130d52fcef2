//! Signature Version 4 as the store sees it, computed from the request on the wire and nothing that floe uses.

use super::{KEY_ID, REGION, SECRET, answer::Reply};
use bytes::Bytes;
use hyper::http::request::Parts;
use ring::{digest, hmac};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far the clocks may be apart.
const MAX_SKEW: i64 = 15 * 60;

fn now(ahead: i64) -> jiff::Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    jiff::Timestamp::from_second(i64::try_from(seconds).unwrap() + ahead).unwrap()
}

/// The header `Date` of a store whose clock is so many seconds ahead.
pub fn date(ahead: i64) -> String {
    now(ahead).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// A part of the header `Authorization`.
fn field<'a>(authorization: &'a str, name: &str) -> &'a str {
    authorization.split([' ', ',']).find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

/// Refuses a request that is not signed as it should be.
pub fn verify(parts: &Parts, body: &Bytes, ahead: i64) -> Result<(), Reply> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refuse = |code: &str, why: &str| Err(Reply::error(403, code, why));
    let (authorization, moment) = (header("authorization"), header("x-amz-date"));
    let sent = moment
        .get(..8)
        .and_then(|day| Some(format!("{day}T{}Z", moment.get(9..15)?)))
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let Some(sent) = sent else { return refuse("AccessDenied", "no x-amz-date") };
    if (sent.as_second() - now(ahead).as_second()).abs() > MAX_SKEW {
        return refuse("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.");
    }
    let content = hex(digest::digest(&digest::SHA256, body).as_ref());
    if header("x-amz-content-sha256") != content {
        return refuse("XAmzContentSHA256Mismatch", "the body is another one");
    }
    let day = &moment[..8];
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    if field(authorization, "Credential") != format!("{KEY_ID}/{scope}") {
        return refuse("InvalidAccessKeyId", "of another key, day, region or service");
    }
    let names = field(authorization, "SignedHeaders");
    let must = |name: &str| name == "host" || name.starts_with("x-amz-");
    if parts.headers.keys().any(|name| must(name.as_str()) && !names.split(';').any(|n| n == name.as_str())) {
        return refuse("AccessDenied", "a header that matters is not signed");
    }
    let mut query: Vec<&str> = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    let lines: String = names.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let request = format!("{}\n{}\n{}\n{lines}\n{names}\n{content}", parts.method, parts.uri.path(), query.join("&"));
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref()));
    let steps = [day, REGION, "s3", "aws4_request"];
    let key = steps.iter().fold(format!("AWS4{SECRET}").into_bytes(), |key, step| mac(&key, step));
    match field(authorization, "Signature") == hex(&mac(&key, &text)) {
        true => Ok(()),
        false => refuse("SignatureDoesNotMatch", &format!("the secret is not {SECRET}")),
    }
}

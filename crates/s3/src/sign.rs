//! A call as a signed request: Signature Version 4 in headers, so that nothing of it is in an address that somebody logs.

use crate::{config::Config, error::Reason};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::SystemTime;

/// What stands for itself in a value of a query.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What stands for itself in a key.
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// What is asked of the store.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    /// What it is called in errors.
    pub(crate) action: &'static str,
    pub(crate) method: Method,
    /// Empty for the bucket itself.
    pub(crate) key: &'a str,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// The body's SHA-256 in hexadecimal digits.
    pub(crate) sha256: String,
}

/// SHA-256 of nothing.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl<'a> Call<'a> {
    /// A call without a body.
    pub(crate) fn new(action: &'static str, method: Method, key: &'a str) -> Self {
        let sha256 = SHA256_OF_NOTHING.to_owned();
        Self { action, method, key, query: Vec::new(), headers: Vec::new(), body: Bytes::new(), sha256 }
    }

    /// With a value in the query.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    fn uri(&self, config: &Config) -> String {
        let path = utf8_percent_encode(&config.path(self.key), IN_PATH).to_string();
        let pairs: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, IN_QUERY))).collect();
        let question = if pairs.is_empty() { "" } else { "?" };
        format!("{}://{}{path}{question}{}", config.endpoint.scheme, config.authority(), pairs.join("&"))
    }

    /// The request, signed for this moment.
    pub(crate) fn request(&self, config: &Config, keys: &Credentials, now: SystemTime) -> Result<Request<Full<Bytes>>, Reason> {
        let uri = self.uri(config);
        let headers = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let mut request = Request::builder().method(&self.method).uri(&uri).header(header::USER_AGENT, "floe");
        for (name, value) in self.headers.iter().chain(&signature(self, &uri, headers, (config, keys, now))?) {
            request = request.header(*name, value);
        }
        request.body(Full::new(self.body.clone())).map_err(wrong)
    }
}

type Signed = Vec<(&'static str, String)>;

/// The headers that prove who asks, and for what.
fn signature<'a>(
    call: &'a Call<'_>,
    uri: &'a str,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    (config, keys, now): (&Config, &Credentials, SystemTime),
) -> Result<Signed, Reason> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = keys.clone().into();
    let params = v4::SigningParams::builder().identity(&identity).region(&config.region).name("s3").time(now).settings(settings);
    let params = params.build().map_err(wrong)?.into();
    let body = SignableBody::Precomputed(call.sha256.clone());
    let request = SignableRequest::new(call.method.as_str(), uri, headers, body).map_err(wrong)?;
    // The library traces what it signs, the token of a session among it.
    let silent = tracing::subscriber::NoSubscriber::default();
    let output = tracing::subscriber::with_default(silent, || sign(request, &params)).map_err(wrong)?;
    let (instructions, _) = output.into_parts();
    let (headers, _) = instructions.into_parts();
    Ok(headers.iter().map(|h| (h.name(), h.value().to_owned())).collect())
}

fn wrong(error: impl std::error::Error) -> Reason {
    Reason::Request(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Endpoint, config::Tuning, credentials::CredentialFiles};
    use std::time::Duration;

    /// The example of Amazon's documentation: a list, of a bucket that has a host of its own.
    #[test]
    fn a_request_is_signed_as_in_the_documentation() {
        let config = Config {
            bucket: "examplebucket".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Endpoint::parse("https://s3.amazonaws.com").unwrap(),
            path_style: false,
            key_prefix: String::new(),
            ca_cert: None,
            credentials: CredentialFiles::One("unused".into()),
            tuning: Tuning::default(),
        };
        let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "test");
        let call = Call::new("list", Method::GET, "").with("max-keys", "2").with("prefix", "J");
        let request = call.request(&config, &keys, SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600)).unwrap();
        assert_eq!(request.uri(), "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J");
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!((header("x-amz-date"), header("x-amz-content-sha256")), ("20130524T000000Z", SHA256_OF_NOTHING));
        let authorization = header("authorization");
        assert!(authorization.contains("Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"), "{authorization}");
        assert!(authorization.ends_with("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"), "{authorization}");
    }
}

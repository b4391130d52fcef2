//! Registries: the protocol that every one speaks (version 2 of the distribution API), with tokens, redirects and another try.

use crate::{
    challenge::{self, Challenge},
    digest::Digest,
    error::ImageError,
    limits::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, MAX_TOKEN_BYTES},
    manifest::{ACCEPT, Blob},
    reference::{Reference, Version},
    settings::{Credentials, Endpoint, Settings},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use floe_https::{Client, causes};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{ACCEPT as ACCEPT_HEADER, AUTHORIZATION, LOCATION, RANGE, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the beginning of an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How long a body may pause.
const IDLE_DEADLINE: Duration = Duration::from_secs(60);
/// How often a request is sent again to a registry that is busy or away for a moment.
const TRIES: u32 = 4;
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause that a registry may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Redirects of one request.
const MAX_REDIRECTS: usize = 5;

/// A repository at one place: the registry itself, or a mirror of it.
pub(crate) struct Repository {
    settings: Arc<Settings>,
    endpoint: Endpoint,
    client: Client,
    reference: Reference,
    /// What goes into the header `Authorization`, once it is known.
    authorization: Mutex<Option<String>>,
}

/// What is asked for.
struct Question<'a> {
    path: String,
    accept: &'a str,
    /// The first byte that is wanted.
    from: u64,
}

/// An answer's body, in pieces.
pub(crate) struct Pieces {
    body: Incoming,
    /// Whether it begins where it was asked to, and not at its beginning.
    pub(crate) goes_on: bool,
}

impl Repository {
    /// Connects to nothing yet.
    pub(crate) fn open(settings: Arc<Settings>, endpoint: Endpoint, reference: Reference) -> Result<Self, ImageError> {
        let client = floe_https::client(floe_https::Settings {
            ca_cert: endpoint.ca_cert.as_deref(),
            connect_deadline: CONNECT_DEADLINE,
            keeps_connections: true,
        });
        let client = client.map_err(|e| ImageError::Unreachable {
            image: reference.to_string(),
            place: endpoint.host().to_owned(),
            why: e.to_string(),
        })?;
        Ok(Self { settings, endpoint, client, reference, authorization: Mutex::new(None) })
    }

    /// The host, as it is shown.
    pub(crate) fn place(&self) -> &str {
        self.endpoint.host()
    }

    /// The image's name.
    pub(crate) fn image(&self) -> String {
        self.reference.to_string()
    }

    /// A layer ended too early.
    pub(crate) fn cut_short(&self, blob: &Blob) -> ImageError {
        self.unreachable(format!("layer {} ended before its {} bytes had come", blob.digest, blob.size))
    }

    /// A layer does not end.
    pub(crate) fn too_long(&self, blob: &Blob) -> ImageError {
        self.improper(format!("layer {} has more than the {} bytes that its manifest says", blob.digest, blob.size))
    }

    /// The manifest or index of the image, and its digest.
    pub(crate) async fn manifest(&self) -> Result<(Bytes, Digest), ImageError> {
        let version = match &self.reference.version {
            Version::Tag(tag) => tag.clone(),
            Version::Digest(digest) => digest.to_string(),
        };
        let content = self.small(&format!("manifests/{version}"), ACCEPT, MAX_MANIFEST_BYTES).await?;
        let digest = Digest::of(&content);
        match self.reference.version {
            Version::Digest(wanted) => self.check("the manifest", digest, wanted)?,
            Version::Tag(_) => {}
        }
        Ok((content, digest))
    }

    /// The manifest that an index names.
    pub(crate) async fn manifest_of(&self, blob: &Blob) -> Result<Bytes, ImageError> {
        let content = self.small(&format!("manifests/{}", blob.digest), ACCEPT, MAX_MANIFEST_BYTES).await?;
        self.check("the manifest", Digest::of(&content), blob.digest)?;
        Ok(content)
    }

    /// An image's configuration.
    pub(crate) async fn config(&self, blob: &Blob) -> Result<Bytes, ImageError> {
        let content = self.small(&format!("blobs/{}", blob.digest), "*/*", MAX_CONFIG_BYTES).await?;
        self.check("the configuration", Digest::of(&content), blob.digest)?;
        Ok(content)
    }

    /// A layer, from one of its bytes on.
    pub(crate) async fn layer(&self, blob: &Blob, from: u64) -> Result<Pieces, ImageError> {
        let question = Question { path: format!("blobs/{}", blob.digest), accept: "*/*", from };
        let answer = self.ask(&question).await?;
        let goes_on = answer.status() == StatusCode::PARTIAL_CONTENT;
        Ok(Pieces { body: answer.into_body(), goes_on })
    }

    /// The next piece of a layer; `None` at its end.
    pub(crate) async fn piece(&self, pieces: &mut Pieces) -> Result<Option<Bytes>, ImageError> {
        loop {
            let frame = tokio::time::timeout(IDLE_DEADLINE, pieces.body.frame()).await;
            let frame = frame.map_err(|_| self.unreachable(format!("nothing came for {} s", IDLE_DEADLINE.as_secs())))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.unreachable(format!("the connection broke: {}", causes(&error)))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    fn check(&self, what: &str, found: Digest, wanted: Digest) -> Result<(), ImageError> {
        if found == wanted {
            return Ok(());
        }
        Err(ImageError::Digest { image: self.reference.to_string(), what: what.to_owned(), found, wanted })
    }

    fn unreachable(&self, why: String) -> ImageError {
        ImageError::Unreachable { image: self.reference.to_string(), place: self.place().to_owned(), why }
    }

    fn improper(&self, why: impl Into<String>) -> ImageError {
        ImageError::Answer { image: self.reference.to_string(), place: self.place().to_owned(), why: why.into() }
    }

    async fn small(&self, path: &str, accept: &str, max_bytes: usize) -> Result<Bytes, ImageError> {
        let question = Question { path: path.to_owned(), accept, from: 0 };
        for _ in 1..TRIES {
            let answer = self.ask(&question).await?;
            match self.body(answer, max_bytes).await {
                // Its beginning came, so it is worth another try.
                Err(ImageError::Unreachable { why, .. }) => tracing::debug!(image = %self.reference, %why, "the registry is asked again"),
                outcome => return outcome,
            }
        }
        self.body(self.ask(&question).await?, max_bytes).await
    }

    async fn body(&self, answer: Response<Incoming>, max_bytes: usize) -> Result<Bytes, ImageError> {
        let read = tokio::time::timeout(IDLE_DEADLINE, Limited::new(answer.into_body(), max_bytes).collect()).await;
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(self.improper(format!("it is larger than {max_bytes} bytes"))),
            Ok(Err(e)) => Err(self.unreachable(format!("the connection broke: {e}"))),
            Err(_) => Err(self.unreachable(format!("its answer took longer than {} s", IDLE_DEADLINE.as_secs()))),
        }
    }

    /// Asks, proves who asks if that is wanted, and asks again while the registry is busy.
    async fn ask(&self, question: &Question<'_>) -> Result<Response<Incoming>, ImageError> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        let mut proved = false;
        loop {
            let outcome = self.follow(question).await;
            let error = match outcome {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !proved => {
                    proved = true;
                    self.prove(&answer).await?;
                    continue;
                }
                Ok(answer) if is_busy(answer.status()) => {
                    pause = pause.max(asked_pause(&answer));
                    self.improper(format!("it answers with status {}", answer.status()))
                }
                Ok(answer) => return Err(self.refusal(answer).await),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => error,
            };
            if tries == TRIES {
                return Err(error);
            }
            tries += 1;
            tracing::debug!(image = %self.reference, error = %error, "the registry is asked again");
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
            pause *= 2;
        }
    }

    async fn refusal(&self, answer: Response<Incoming>) -> ImageError {
        let (image, place, status) = (self.reference.to_string(), self.place().to_owned(), answer.status());
        match status {
            StatusCode::NOT_FOUND => ImageError::Missing { image, place },
            StatusCode::UNAUTHORIZED if self.endpoint.credentials.is_none() => ImageError::Missing { image, place },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ImageError::Denied { image, place, status: status.as_u16() },
            _ => self.improper(format!("it answers with status {status}")),
        }
    }

    /// Sends a request, and after a redirect another. Who asks is told to the registry alone, not to where it sends on.
    async fn follow(&self, question: &Question<'_>) -> Result<Response<Incoming>, ImageError> {
        let mut address = format!("{}/v2/{}/{}", self.endpoint.base, self.reference.repository, question.path);
        let mut authorization = self.authorization.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for _ in 0..=MAX_REDIRECTS {
            let uri: Uri = address.parse().map_err(|_| self.improper(format!("it sends on to {address:?}, which is no address")))?;
            let mut request =
                Request::get(uri).header(USER_AGENT, concat!("floe/", env!("CARGO_PKG_VERSION"))).header(ACCEPT_HEADER, question.accept);
            if question.from > 0 {
                request = request.header(RANGE, format!("bytes={}-", question.from));
            }
            if let Some(authorization) = &authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            let answer = self.send(request).await?;
            if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            let to = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok()).unwrap_or_default();
            let next = self.next(&address, to)?;
            if origin(&next) != origin(&address) {
                authorization = None;
            }
            address = next;
        }
        Err(self.improper(format!("it sends on more than {MAX_REDIRECTS} times")))
    }

    /// Where a redirect leads: never from an encrypted place to one that is not.
    fn next(&self, from: &str, to: &str) -> Result<String, ImageError> {
        let address = if to.starts_with('/') && !to.starts_with("//") { format!("{}{to}", origin(from)) } else { to.to_owned() };
        match self.is_allowed(&address) {
            true => Ok(address),
            false => Err(self.improper(format!("it sends on to {to:?}, which is not encrypted, or no address"))),
        }
    }

    fn is_allowed(&self, address: &str) -> bool {
        let host = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
        match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
            (Some(rest), _) => !host(rest).contains('@'),
            // To be sent back to where one was is no step down.
            (_, Some(rest)) => {
                !host(rest).contains('@') && (self.settings.speaks_plainly(&host(rest)) || origin(address) == self.endpoint.base)
            }
            _ => false,
        }
    }

    async fn send(&self, request: hyper::http::request::Builder) -> Result<Response<Incoming>, ImageError> {
        let request = request.body(Full::new(Bytes::new())).map_err(|e| self.improper(e.to_string()))?;
        match tokio::time::timeout(ANSWER_DEADLINE, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|e| self.unreachable(causes(&e))),
            Err(_) => Err(self.unreachable(format!("no answer within {} s", ANSWER_DEADLINE.as_secs()))),
        }
    }

    /// Finds out what the registry wants to see.
    async fn prove(&self, answer: &Response<Incoming>) -> Result<(), ImageError> {
        let headers = answer.headers().get_all(WWW_AUTHENTICATE);
        let wanted = headers.iter().filter_map(|h| challenge::parse(h.to_str().ok()?)).next();
        let authorization = match wanted {
            Some(Challenge::Bearer { realm, service }) => format!("Bearer {}", self.token(&realm, service.as_deref()).await?),
            Some(Challenge::Basic) => match &self.endpoint.credentials {
                Some(credentials) => basic(credentials),
                None => return Err(ImageError::Missing { image: self.reference.to_string(), place: self.place().to_owned() }),
            },
            None => return Err(self.improper("it wants credentials, but does not say which".to_owned())),
        };
        *self.authorization.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(authorization);
        Ok(())
    }

    /// A token for reading this repository, from the service that the registry names.
    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String, ImageError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        if !self.is_allowed(realm) {
            return Err(self.improper(format!("its tokens come from {realm:?}, which is not encrypted, or no address")));
        }
        let scope = format!("repository:{}:pull", self.reference.repository);
        let service = service.map(|s| format!("service={}&", escaped(s))).unwrap_or_default();
        let joint = if realm.contains('?') { '&' } else { '?' };
        let mut request = Request::get(format!("{realm}{joint}{service}scope={}", escaped(&scope)));
        if let Some(credentials) = &self.endpoint.credentials {
            request = request.header(AUTHORIZATION, basic(credentials));
        }
        let answer = self.send(request).await?;
        match answer.status() {
            status if status.is_success() => {}
            status if is_busy(status) => return Err(self.improper(format!("the service for tokens answers with status {status}"))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.refusal(answer).await),
            status => return Err(self.improper(format!("the service for tokens answers with status {status}"))),
        }
        let content = self.body(answer, MAX_TOKEN_BYTES).await?;
        let answer: Answer = serde_json::from_slice(&content).map_err(|e| self.improper(format!("its token cannot be read: {e}")))?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        if plain { Ok(token) } else { Err(self.improper("its token is none".to_owned())) }
    }
}

fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

fn asked_pause(answer: &Response<Incoming>) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_PAUSE)
}

fn basic(credentials: &Credentials) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", credentials.username, credentials.password)))
}

/// Scheme, host and port.
fn origin(address: &str) -> &str {
    let begin = address.find("://").map_or(0, |at| at + 3);
    let end = address.get(begin..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(address.len(), |at| begin + at);
    address.get(..end).unwrap_or(address)
}

/// A value in an address.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |out, b| match b {
        b if b.is_ascii_alphanumeric() || b"-._~:/".contains(&b) => out + char::from(b).encode_utf8(&mut [0; 4]),
        b => out + &format!("%{b:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(origin("https://a.b:5/c?d"), "https://a.b:5");
        assert_eq!(origin("https://a.b"), "https://a.b");
        assert_eq!(escaped("repository:a/b:pull,x y&"), "repository:a/b:pull%2Cx%20y%26");
    }
}

//! [`TransitKek`]: a key of the transit engine of Vault or OpenBao. The key never comes here; what is wrapped goes there and back by TLS.

mod http;

use crate::{
    config::Transit,
    payload,
    root::RootKey,
    secret_file::{self, Readers},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use floe_model::keyring::KeyId;
use http::{Answer, Http, HttpError};
use serde::Deserialize;
use std::{borrow::Cow, time::Duration};
use zeroize::{Zeroize, Zeroizing};

/// What the ids of such keys begin with.
pub(crate) const KIND: &str = "transit:";
/// How often a call is made before it is given up.
const ATTEMPTS: u32 = 3;
/// How long the first pause between two of them is; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The most bytes of a token's file.
const MAX_TOKEN_BYTES: usize = 4096;
/// The most bytes of a wrap. They take about 130.
const MAX_WRAP_BYTES: usize = 4096;
/// The most characters of an answer that are repeated in an error.
const MAX_SAID_CHARS: usize = 300;

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) struct TransitError {
    pub(crate) why: String,
    /// It may go better in a while.
    pub(crate) transient: bool,
}

/// A key of a transit engine.
pub(crate) struct TransitKek {
    id: String,
    config: Transit,
    http: Http,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

/// Borrowed from the answer, which is zeroed: base64 needs no escapes.
#[derive(Deserialize)]
struct Decrypted<'a> {
    #[serde(borrow)]
    plaintext: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

impl TransitKek {
    /// Checks what is configured and reads the authorities; nobody is called.
    pub(crate) fn open(config: &Transit) -> Result<Self, String> {
        let config = checked(config)?;
        let http = Http::new(&config.address, config.ca_cert.as_deref())?;
        let namespace = config.namespace.as_deref().unwrap_or_default();
        // What tells one Vault from another, without its name in the log.
        let place = ring::digest::digest(&ring::digest::SHA256, format!("{}\0{namespace}", http.origin()).as_bytes());
        let place: String = place.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id: format!("{KIND}{}/{}@{place}", config.mount_path, config.key_name), config, http })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// True when this may open the wrap: the same key by its name. The address may have changed since.
    pub(crate) fn knows(&self, kek: &str) -> bool {
        let name = |id: &str| id.rsplit_once('@').map(|(name, _)| name.to_owned());
        kek.starts_with(KIND) && name(kek) == name(&self.id)
    }

    /// The wrap of root key `id` with this payload. It was opened once: a token that may encrypt and not decrypt is found out before anything
    /// depends on it.
    pub(crate) async fn wrap(&self, id: &KeyId, payload: &[u8]) -> Result<Vec<u8>, TransitError> {
        let body = json("plaintext", &Zeroizing::new(BASE64.encode(payload)));
        let answer = self.call("encrypt", body).await?;
        let wrap = self.read::<Encrypted>(&answer)?.ciphertext;
        if wrap.len() > MAX_WRAP_BYTES || !wrap.starts_with("vault:v") {
            return Err(self.fatal("it answered with something else than a ciphertext (vault:v...): is this the address of a Vault?"));
        }
        let opened = self.unwrap(id, wrap.as_bytes()).await?;
        let same = payload::of(&opened).is_some_and(|opened| opened.as_slice() == payload);
        if same { Ok(wrap.into_bytes()) } else { Err(self.fatal("it gave back another key than it was given")) }
    }

    /// The root key `id` from its wrap.
    pub(crate) async fn unwrap(&self, id: &KeyId, wrap: &[u8]) -> Result<RootKey, TransitError> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b":+/=_-".contains(byte);
        let wrap = std::str::from_utf8(wrap).ok().filter(|w| w.len() <= MAX_WRAP_BYTES && w.bytes().all(|b| is_plain(&b)));
        let wrap = wrap.ok_or_else(|| self.fatal("the wrap is no ciphertext of a transit engine"))?;
        let answer = self.call("decrypt", json("ciphertext", wrap)).await?;
        let plain = BASE64.decode(self.read::<Decrypted>(&answer)?.plaintext.as_bytes()).map(Zeroizing::new);
        let plain = plain.map_err(|_| self.fatal("it answered with something else than base64"))?;
        payload::read(id, &plain).map_err(|why| self.fatal(&why.to_string()))
    }

    /// Makes a call, again when it may go better.
    async fn call(&self, verb: &str, body: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let path = format!("/v1/{}/{verb}/{}", self.config.mount_path, self.config.key_name);
        let body = bytes::Bytes::from_owner(body);
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let (error, again) = match self.try_call(&path, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if !again || attempt == ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(kek = self.id, attempt, why = error.why, "call the transit engine again");
            tokio::time::sleep(pause).await;
            (pause, attempt) = (pause * 2, attempt + 1);
        }
    }

    /// One call; with an error, whether to try at once again.
    async fn try_call(&self, path: &str, body: bytes::Bytes) -> Result<Zeroizing<Vec<u8>>, (TransitError, bool)> {
        let token = self.token().map_err(|error| (error, false))?;
        let namespace = self.config.namespace.as_deref();
        match self.http.post(path, &token, namespace, body).await {
            Ok(Answer { status: 200, body, .. }) => Ok(body),
            Ok(answer) => Err(self.refused(&answer, &token)),
            Err(error @ HttpError::TooLarge) => Err((self.fatal(&error.to_string()), false)),
            Err(error) => Err((self.transient(&error.to_string()), true)),
        }
    }

    /// The token, as the file has it now: whoever renews it writes it there.
    fn token(&self) -> Result<Zeroizing<String>, TransitError> {
        let path = self.config.token_file.display();
        let bytes = secret_file::read(&self.config.token_file, Readers::Group, MAX_TOKEN_BYTES);
        let bytes = bytes.map_err(|why| self.transient(&format!("token_file {path} {why}")))?;
        let text = std::str::from_utf8(bytes.trim_ascii()).ok().filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()));
        text.map(|text| Zeroizing::new(text.to_owned())).ok_or_else(|| self.transient(&format!("token_file {path} holds no token")))
    }

    /// What an answer that is not 200 means.
    fn refused(&self, answer: &Answer, token: &str) -> (TransitError, bool) {
        let status = answer.status;
        let said = said(answer, token);
        let (mount, key) = (&self.config.mount_path, &self.config.key_name);
        let advice = match status {
            300..=399 => {
                let place = answer.location.as_deref().map(|l| clean(l, token)).unwrap_or_else(|| "nowhere".to_owned());
                return (self.fatal(&format!("it redirects to {place}: give the address that answers itself")), false);
            }
            403 => format!(
                " (its token_file must hold a live token whose policy has \"update\" on {mount}/encrypt/{key} and {mount}/decrypt/{key})"
            ),
            404 => format!(" (is a transit engine mounted at {mount}, in this namespace, with a key {key}?)"),
            503 => " (a sealed Vault must be unsealed)".to_owned(),
            _ => String::new(),
        };
        let why = format!("it answered {status}{said}{advice}");
        match status {
            429 | 412 | 500..=599 => (self.transient(&why), true),
            400 => (self.fatal(&why), false),
            _ => (self.transient(&why), false),
        }
    }

    fn read<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, TransitError> {
        let read = serde_json::from_slice::<Data<T>>(body);
        // Not the reader's words: they may quote what was read.
        read.map(|read| read.data).map_err(|_| self.fatal("its answer is not what a transit engine says: is this the address of a Vault?"))
    }

    fn transient(&self, why: &str) -> TransitError {
        TransitError { why: self.describe(why), transient: true }
    }

    fn fatal(&self, why: &str) -> TransitError {
        TransitError { why: self.describe(why), transient: false }
    }

    fn describe(&self, why: &str) -> String {
        format!("transit key {}/{} at {}: {why}", self.config.mount_path, self.config.key_name, self.http.origin())
    }
}

/// `{"name":"value"}`. The value is of characters that JSON writes as they are.
fn json(name: &str, value: &str) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(name.len() + value.len() + 16));
    for part in ["{\"", name, "\":\"", value, "\"}"] {
        body.extend_from_slice(part.as_bytes());
    }
    body
}

/// What the engine says of a refusal, in brackets of its own words.
fn said(answer: &Answer, token: &str) -> String {
    let refusal = serde_json::from_slice::<Refusal>(&answer.body).unwrap_or_default();
    if refusal.errors.is_empty() { String::new() } else { format!(": {}", clean(&refusal.errors.join("; "), token)) }
}

/// Words of others, fit for an error: one short line without the token.
fn clean(text: &str, token: &str) -> String {
    let mut text = text.replace(token, "***");
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.zeroize();
    line.chars().filter(|c| !c.is_control()).take(MAX_SAID_CHARS).collect()
}

/// The configuration with its names in the one form that they are used in.
fn checked(config: &Transit) -> Result<Transit, String> {
    let name = |option: &str, text: &str, slashes: bool| {
        let text = text.trim_matches('/').to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c) || (slashes && c == '/');
        let is_name = text.chars().all(is_plain) && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if is_name { Ok(text) } else { Err(format!("{option} {text:?} is no name: take letters, digits, ., _ and -")) }
    };
    let namespace = config.namespace.as_deref().map(|text| name("namespace", text, true)).transpose()?;
    Ok(Transit {
        mount_path: name("mount_path", &config.mount_path, true)?,
        key_name: name("key_name", &config.key_name, false)?,
        namespace,
        ..config.clone()
    })
}

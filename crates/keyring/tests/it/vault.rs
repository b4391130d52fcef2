//! A Vault for tests: a transit engine in this process that really encrypts, and fails as it is told to.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::aead;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// The token that may use the engine.
pub(crate) const TOKEN: &str = "hvs.the-token-of-these-tests";

/// What becomes of one call.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    Well,
    /// This status, with this error in Vault's form.
    Refuses(u16, String),
    /// The connection ends in the middle of the answer.
    Cuts,
    /// The answer does not end.
    Endless,
    /// There is no answer.
    Silent,
    /// It sends the caller elsewhere.
    Redirects(String),
    /// An answer of 200 with this body.
    Says(String),
}

/// A call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) head: String,
}

struct Inner {
    moods: Mutex<VecDeque<Mood>>,
    calls: Mutex<Vec<Call>>,
    key: aead::LessSafeKey,
    /// How much of endless answers was taken, in bytes.
    taken: AtomicUsize,
}

/// A running Vault.
#[derive(Clone)]
pub(crate) struct Vault {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

impl Vault {
    /// Starts one with an engine at `transit`, and a key `floe` in it.
    pub(crate) async fn start(tls: bool) -> Vault {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut key = [0; 32];
        getrandom::fill(&mut key).unwrap();
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::CHACHA20_POLY1305, &key).unwrap());
        let inner = Arc::new(Inner { moods: Mutex::default(), calls: Mutex::default(), key, taken: AtomicUsize::default() });
        let vault = Vault { address: listener.local_addr().unwrap(), inner };
        let (acceptor, serving) = (tls.then(acceptor), vault.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (vault, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => vault.serve(acceptor.accept(stream).await?).await,
                        None => vault.serve(stream).await,
                    }
                });
            }
        });
        vault
    }

    /// What becomes of the next calls; those behind them go well.
    pub(crate) fn next(&self, moods: impl IntoIterator<Item = Mood>) {
        *self.inner.moods.lock().unwrap() = moods.into_iter().collect();
    }

    /// The calls since this was last asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.inner.calls.lock().unwrap())
    }

    /// How much of endless answers was taken, in bytes.
    pub(crate) fn taken(&self) -> usize {
        self.inner.taken.load(Ordering::Relaxed)
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (call, body) = read_call(&mut stream).await?;
        self.inner.calls.lock().unwrap().push(call.clone());
        let mood = self.inner.moods.lock().unwrap().pop_front().unwrap_or(Mood::Well);
        let (status, body) = match mood {
            Mood::Well => self.answer(&call, &body),
            Mood::Refuses(status, why) => (status, json!({ "errors": [why] }).to_string()),
            Mood::Says(text) => (200, text),
            Mood::Cuts => return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":").await,
            Mood::Silent => return std::future::pending().await,
            Mood::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(b"1000\r\n").await?;
                    stream.write_all(&[b' '; 4096]).await?;
                    stream.write_all(b"\r\n").await?;
                    self.inner.taken.fetch_add(4096, Ordering::Relaxed);
                }
            }
            Mood::Redirects(place) => {
                return stream.write_all(format!("HTTP/1.1 307 See\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
            }
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        stream.shutdown().await
    }

    /// What a Vault in good health answers.
    fn answer(&self, call: &Call, body: &str) -> (u16, String) {
        let refuse = |status: u16, why: &str| (status, json!({ "errors": [why] }).to_string());
        if !call.head.contains(&format!("x-vault-token: {TOKEN}\r\n")) {
            return refuse(403, "permission denied");
        }
        let body: Value = serde_json::from_str(body).unwrap();
        match call.path.as_str() {
            "/v1/transit/encrypt/floe" => {
                let plain = BASE64.decode(body["plaintext"].as_str().unwrap()).unwrap();
                (200, json!({ "data": { "ciphertext": self.encrypt(plain), "key_version": 1 } }).to_string())
            }
            "/v1/transit/decrypt/floe" => match self.decrypt(body["ciphertext"].as_str().unwrap()) {
                Some(plain) => (200, json!({ "data": { "plaintext": BASE64.encode(plain) } }).to_string()),
                None => refuse(400, "invalid ciphertext: unable to decrypt"),
            },
            path if path.starts_with("/v1/transit/") => refuse(400, "encryption key not found"),
            _ => refuse(404, "no handler for route"),
        }
    }

    fn encrypt(&self, mut bytes: Vec<u8>) -> String {
        let mut nonce = [0; aead::NONCE_LEN];
        getrandom::fill(&mut nonce).unwrap();
        self.inner.key.seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::empty(), &mut bytes).unwrap();
        format!("vault:v1:{}", BASE64.encode([&nonce, bytes.as_slice()].concat()))
    }

    fn decrypt(&self, text: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(text.strip_prefix("vault:v1:")?).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(aead::NONCE_LEN)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.inner.key.open_in_place(nonce, aead::Aad::empty(), &mut sealed.to_vec()).ok().map(|plain| plain.to_vec())
    }
}

async fn read_call(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Call, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = format!("{}\r\n", head.to_ascii_lowercase().replace(&TOKEN.to_ascii_lowercase(), TOKEN));
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().unwrap());
            if body.len() >= length {
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                return Ok((Call { path, head }, body.to_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The certificate of `tests/vectors/tls`, for localhost and 127.0.0.1.
fn acceptor() -> TlsAcceptor {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tls");
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

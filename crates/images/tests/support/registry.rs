//! A registry in the test's process: it serves what it is given, and misbehaves as it is told.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

use floe_images::Digest;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
};

/// A request, as far as tests care.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub authorization: Option<String>,
    /// The first byte that is wanted.
    pub from: usize,
}

/// An answer.
#[derive(Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    pub cut: Option<usize>,
    /// The rest of the body after the first half waits for this.
    pub gate: Option<Arc<Gate>>,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Something that is waited for.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    pub fn open(&self) {
        self.state.lock().unwrap().0 = true;
        self.changed.notify_all();
    }
    /// Waits until somebody waits.
    pub fn wait_for_guest(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |s| s.1 == 0).unwrap());
    }
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |s| !s.0).unwrap());
    }
}

type Rule = dyn Fn(&Request, usize) -> Option<Answer> + Send + Sync;

struct State {
    content: Mutex<HashMap<String, Vec<u8>>>,
    log: Mutex<Vec<Request>>,
    rule: Mutex<Arc<Rule>>,
}

/// See the module. It is there until the test's process ends.
#[derive(Clone)]
pub struct Registry {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Registry {
    /// On a port of loopback, in the network of the present thread.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State { content: Mutex::default(), log: Mutex::default(), rule: Mutex::new(Arc::new(|_, _| None)) };
        let registry = Self { address: listener.local_addr().unwrap(), state: Arc::new(state) };
        let serving = registry.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let registry = serving.clone();
                std::thread::spawn(move || registry.serve(stream));
            }
        });
        registry
    }

    /// The name of an image in it.
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// What a request is answered with instead of the content; it hears how many of the same path there were before.
    pub fn rule(&self, rule: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) {
        *self.state.rule.lock().unwrap() = Arc::new(rule);
    }

    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.state.content.lock().unwrap().insert(path.to_owned(), content.into());
    }

    /// All requests for paths with these words.
    pub fn asked(&self, words: &str) -> Vec<Request> {
        self.state.log.lock().unwrap().iter().filter(|r| r.path.contains(words)).cloned().collect()
    }

    pub fn forget(&self) {
        self.state.log.lock().unwrap().clear();
    }

    /// Puts an image under a tag and returns the digest of its manifest.
    pub fn push(&self, repository: &str, tag: &str, image: &Image) -> Digest {
        let manifest = image.manifest();
        for blob in image.layers.iter().map(|l| &l.packed).chain([&image.config()]) {
            self.put(&format!("/v2/{repository}/blobs/{}", Digest::of(blob)), blob.clone());
        }
        let digest = Digest::of(&manifest);
        self.put(&format!("/v2/{repository}/manifests/{tag}"), manifest.clone());
        self.put(&format!("/v2/{repository}/manifests/{digest}"), manifest);
        digest
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(request) = read(&mut reader) {
            let before = self.asked("").iter().filter(|r| r.path == request.path).count();
            self.state.log.lock().unwrap().push(request.clone());
            let rule = self.state.rule.lock().unwrap().clone();
            let answer = rule(&request, before).unwrap_or_else(|| self.content(&request));
            if !send(&mut stream, &answer) {
                return;
            }
        }
    }

    /// What an honest registry says.
    pub fn content(&self, request: &Request) -> Answer {
        match self.state.content.lock().unwrap().get(request.path.split('?').next().unwrap()) {
            None => Answer::status(404),
            Some(body) if request.from > 0 => Answer { body: body[request.from..].to_vec(), ..Answer::status(206) },
            Some(body) => Answer { body: body.clone(), ..Answer::status(200) },
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut request = Request { path: line.split(' ').nth(1)?.to_owned(), authorization: None, from: 0 };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { return Some(request) };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "range" => request.from = value.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
            _ => {}
        }
    }
}

/// Whether the connection goes on.
fn send(stream: &mut TcpStream, answer: &Answer) -> bool {
    let mut head = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let half = answer.gate.as_ref().map_or(0, |_| answer.body.len() / 2);
    let end = answer.cut.unwrap_or(answer.body.len());
    let mut sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer.body[..half]));
    if let Some(gate) = &answer.gate {
        sent = sent.and_then(|()| stream.flush());
        gate.pass();
    }
    sent.and_then(|()| stream.write_all(&answer.body[half..end])).is_ok() && answer.cut.is_none()
}

/// A layer: its archive, and what is transferred.
#[derive(Clone)]
pub struct Layer {
    pub archive: Vec<u8>,
    pub packed: Vec<u8>,
    pub kind: &'static str,
}

impl Layer {
    pub fn plain(archive: Vec<u8>) -> Self {
        Self { packed: archive.clone(), archive, kind: "application/vnd.oci.image.layer.v1.tar" }
    }
}

/// An image.
#[derive(Clone)]
pub struct Image {
    pub layers: Vec<Layer>,
    pub architecture: &'static str,
    pub run: Value,
}

impl Image {
    pub fn new(layers: Vec<Layer>) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self { layers, architecture, run: json!({}) }
    }

    pub fn config(&self) -> Vec<u8> {
        let ids: Vec<Digest> = self.layers.iter().map(|l| Digest::of(&l.archive)).collect();
        let root = json!({ "type": "layers", "diff_ids": ids });
        json!({ "architecture": self.architecture, "os": "linux", "config": self.run, "rootfs": root }).to_string().into_bytes()
    }

    pub fn manifest(&self) -> Vec<u8> {
        let blob = |kind: &str, content: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(content), "size": content.len() });
        let layers: Vec<Value> = self.layers.iter().map(|l| blob(l.kind, &l.packed)).collect();
        let config = blob("application/vnd.oci.image.config.v1+json", &self.config());
        json!({ "schemaVersion": 2, "config": config, "layers": layers }).to_string().into_bytes()
    }

    /// Writes the image as a layout, under a tag.
    pub fn write_layout(&self, folder: &std::path::Path, tag: &str) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let manifest = self.manifest();
        for content in self.layers.iter().map(|l| &l.packed).chain([&self.config(), &manifest]) {
            std::fs::write(blobs.join(Digest::of(content).hex()), content).unwrap();
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let entry = json!({ "mediaType": kind, "digest": Digest::of(&manifest), "size": manifest.len(), "annotations": { "org.opencontainers.image.ref.name": tag } });
        std::fs::write(folder.join("index.json"), json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

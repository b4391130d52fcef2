//! HTTP/1.1 down to the byte, so that tests see and send exactly what is on the wire.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long to wait for a connection or for the next byte.
const SILENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }
    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn head(&self, host: SocketAddr) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.method, self.target);
        if !self.body.is_empty() || self.method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }

    /// Sends it and reads the head of the answer; the body can be read as it comes.
    pub(crate) fn open(&self, to: SocketAddr) -> io::Result<(Head, Body)> {
        let mut stream = TcpStream::connect_timeout(&to, SILENCE)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        stream.write_all(self.head(to).as_bytes())?;
        // A server may answer, and close, before it has read a body that is too large.
        let sent = stream.write_all(&self.body);
        let mut from = BufReader::new(stream);
        let head = Head::read(&mut from).map_err(|e| sent.err().unwrap_or(e))?;
        let length = head.header("content-length").and_then(|l| l.parse().ok());
        let chunked = head.header("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked"));
        let kind = match (chunked, length) {
            _ if self.method == "HEAD" || head.status == 204 => Kind::Rest(0),
            (true, _) => Kind::Chunked { left: 0, ended: false },
            (false, Some(length)) => Kind::Rest(length),
            (false, None) => Kind::Rest(u64::MAX),
        };
        Ok((head, Body { from, kind }))
    }

    /// Sends it and reads the whole answer.
    pub(crate) fn send(&self, to: SocketAddr) -> io::Result<Response> {
        let (head, mut rest) = self.open(to)?;
        let mut body = Vec::new();
        rest.read_to_end(&mut body)?;
        Ok(Response { head, body })
    }
}

/// Status and headers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let bad = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {line:?}"));
        let mut line = String::new();
        from.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| bad(&line))?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            from.read_line(&mut line)?;
            match line.trim_end() {
                "" => return Ok(Head { status, headers }),
                header => {
                    let (name, value) = header.split_once(':').ok_or_else(|| bad(header))?;
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
            }
        }
    }

    /// A header's value; names are told in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {}: {}", self.status(), self.text()))
    }
    /// The index that the answer is true at.
    pub(crate) fn index(&self) -> u64 {
        self.header("x-nomad-index").and_then(|i| i.parse().ok()).unwrap_or_else(|| panic!("no index in {:?}", self.head))
    }
}

enum Kind {
    Rest(u64),
    Chunked { left: u64, ended: bool },
}

/// The body of an answer, as it comes.
pub(crate) struct Body {
    from: BufReader<TcpStream>,
    kind: Kind,
}

impl Body {
    fn next_chunk(&mut self) -> io::Result<u64> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        if line.trim().is_empty() {
            // The end of the chunk before.
            line.clear();
            self.from.read_line(&mut line)?;
        }
        u64::from_str_radix(line.trim(), 16).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("chunk {line:?}: {e}")))
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Kind::Chunked { left: 0, ended: false } = self.kind {
            let left = self.next_chunk()?;
            self.kind = Kind::Chunked { left, ended: left == 0 };
        }
        let (Kind::Rest(left) | Kind::Chunked { left, .. }) = &mut self.kind;
        let read = self.from.by_ref().take(*left).read(into)?;
        *left -= read as u64;
        Ok(read)
    }
}

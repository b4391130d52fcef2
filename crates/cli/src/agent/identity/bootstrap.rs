//! Waiting for the other servers that are to begin the cluster, until this one is its first or is let in by one that is in it.
//!
//! What to do is decided by [`floe_control::bootstrap`]; here the others are asked, and this server answers them on its RPC port.

use super::{super::notify::Supervisor, AgentConfig, CERTIFICATE_LIFETIME, IdentityFile, Record, name, now};
use anyhow::{Context, bail};
use bytes::Bytes;
use floe_api::rpc::{BOOTSTRAP, Standing};
use floe_control::{
    autopilot::warn_of_even,
    bootstrap::{Founder, Obstacle, Seen, Step},
};
use floe_pki::{AgentId, Authority, BootstrapSecret, Clock, ClusterId, Credentials, Keypair, Request, Role, Trust, unpinned_client_config};
use floe_rpc::{Acceptor, CallError, Channels, Security, read_body};
use floe_server::{
    Listener, Serving, http,
    rpc::{open_answer, seal_question, waiting_router},
    serve,
};
use http_body_util::Full;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// The pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one of the others may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How soon the log says the same again, and how late at most.
const SAY_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// What an agent has while it waits: its ports, which say so, and who started it.
pub(in crate::agent) struct Meanwhile<'a> {
    pub(in crate::agent) rpc: &'a Listener,
    pub(in crate::agent) http: &'a Listener,
    pub(in crate::agent) supervisor: &'a Supervisor,
}

/// What came of waiting.
pub(super) enum Outcome {
    /// This server begins the cluster, with these (itself among them).
    First(BTreeSet<AgentId>),
    /// This server lets this one in, with this token.
    LetIn { token: String, server: String },
}

/// A server that waits.
struct Waiting<'a> {
    file: &'a IdentityFile,
    secret: BootstrapSecret,
    own: watch::Sender<Founder<AgentId>>,
    others: Vec<String>,
    channels: Channels,
    notice: Notice,
}

/// Waits until this server is the first of a cluster or may join one.
pub(super) async fn wait(
    config: &AgentConfig,
    file: &IdentityFile,
    key: &Keypair,
    record: &Record,
    meanwhile: &Meanwhile<'_>,
) -> anyhow::Result<Outcome> {
    let expect = config.bootstrap_expect;
    let secret = config.bootstrap_secret.clone().context(
        "bootstrap_expect is more than 1, but there is no secret by which the servers know each other: make one (floe server bootstrap-secret) and give \
         the same to all of them in a file of mode 0600 (server.bootstrap_secret_file); to join a cluster that exists, give a token (join_token_file)",
    )?;
    let own_address = config.advertised(meanwhile.rpc.address);
    let others: Vec<String> = config.retry_join.iter().filter(|address| **address != own_address).cloned().collect();
    if others.is_empty() {
        bail!("bootstrap_expect is {expect}, but server.retry_join names no other server: name all of them there, on each of them");
    }
    let supports = (!record.supports.is_empty()).then(|| record.supports.parse()).transpose().context("identity file")?;
    let (own, told) = watch::channel(Founder { id: key.id(), expect, supports });
    let (say, said) = watch::channel("this server looks for the others that are to begin the cluster".to_owned());
    let servings = serve_meanwhile(config, key, meanwhile, (secret.clone(), told), said)?;
    // The others may be started only after this one: whoever waits for this agent to be ready must not wait for them.
    meanwhile.supervisor.ready(&format!("waiting to begin a cluster of {expect} servers"));
    tracing::info!(server = %key.id(), servers = others.join(", "), "waiting to begin a cluster of {expect} servers");
    if let Some(warning) = warn_of_even(usize::from(expect)) {
        tracing::warn!("bootstrap_expect: {warning}");
    }
    let channels = Channels::with_config(unpinned_client_config(&Clock::new(now)));
    let waiting = Waiting { file, secret, own, others, channels, notice: Notice::new(say) };
    let outcome = waiting.run().await;
    for serving in servings {
        serving.stop().await;
    }
    outcome
}

/// Answers on the agent's ports for as long as it waits. The certificate is of an authority that nobody knows: it proves nothing, and need not.
fn serve_meanwhile(
    config: &AgentConfig,
    key: &Keypair,
    meanwhile: &Meanwhile<'_>,
    (secret, told): (BootstrapSecret, watch::Receiver<Founder<AgentId>>),
    said: watch::Receiver<String>,
) -> anyhow::Result<[Serving; 2]> {
    let authority = Authority::create(ClusterId::draw(), now(), CERTIFICATE_LIFETIME).context("make a certificate for the meantime")?;
    let request = Request::verify(&key.request(&name(config)?)).context("make a certificate for the meantime")?;
    let certificate =
        authority.issue(&request, Role::Server, now(), CERTIFICATE_LIFETIME).context("make a certificate for the meantime")?;
    let trust = Trust::new(vec![authority.certificate().clone()])?;
    let credentials = Credentials::new(key.clone(), certificate, trust, Clock::new(now))?;
    let rpc = meanwhile.rpc.share().context("share the RPC port")?;
    let api = meanwhile.http.share().context("share the HTTP port")?;
    Ok([
        serve(rpc, waiting_router(secret, told), Acceptor::new(Security::Tls(credentials))),
        serve(api, http::waiting_router(said), Acceptor::new(Security::Plain)),
    ])
}

impl Waiting<'_> {
    async fn run(mut self) -> anyhow::Result<Outcome> {
        loop {
            let own = self.own.borrow().clone();
            let answers = futures::future::join_all(self.others.iter().map(|other| self.ask(other, own.id))).await;
            let mut tokens = BTreeMap::new();
            let mut seen = BTreeMap::new();
            for (address, answer) in self.others.iter().zip(answers) {
                seen.insert(address.clone(), interpret(address, answer, &mut tokens)?);
            }
            match own.step(&seen) {
                Step::Wait(obstacles) => self.notice.tell(&obstacles),
                Step::Support(first) => {
                    self.file.edit(|record| record.supports = first.to_string())?;
                    self.own.send_modify(|own| own.supports = Some(first));
                    continue;
                }
                Step::Begin(founders) => return Ok(Outcome::First(founders)),
                Step::Join(server) => {
                    let token = tokens.remove(&server).context("invariant: whoever is joined gave a token")?;
                    return Ok(Outcome::LetIn { token, server });
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks one of the others how far it is.
    async fn ask(&self, address: &str, own: AgentId) -> Result<(AgentId, Standing), String> {
        let (question, message) = seal_question(&self.secret, own)?;
        let request = hyper::Request::post(self.channels.uri(address, BOOTSTRAP)).body(Full::new(Bytes::from(message)));
        let request = request.map_err(|e| format!("this is no address: {e}"))?;
        let response = self.channels.call(address, request, ANSWER).await.map_err(|error| match error {
            CallError::Connect { source, .. } => source.to_string(),
            other => other.to_string(),
        })?;
        let status = response.status();
        let body = read_body(response.into_body(), MAX_ANSWER_BYTES, ANSWER).await.map_err(|e| e.to_string())?;
        if !status.is_success() {
            return Err(String::from_utf8_lossy(&body).into_owned());
        }
        open_answer(&self.secret, &question, &body)
    }
}

/// What an answer means. A server that refuses will not say otherwise later.
fn interpret(
    address: &str,
    answer: Result<(AgentId, Standing), String>,
    tokens: &mut BTreeMap<String, String>,
) -> anyhow::Result<Seen<AgentId>> {
    Ok(match answer {
        Err(why) => Seen::Nothing(why),
        Ok((id, Standing::Waiting { expect, supports })) => match Some(supports).filter(|s| !s.is_empty()).map(|s| s.parse()).transpose() {
            Ok(supports) => Seen::Waiting(Founder { id, expect, supports }),
            Err(error) => Seen::Nothing(error.to_string()),
        },
        Ok((_, Standing::Member { token })) => {
            tokens.insert(address.to_owned(), token);
            Seen::Member
        }
        Ok((_, Standing::NotNow { why })) => Seen::Nothing(format!("it is in a cluster, and cannot let this server in at present: {why}")),
        Ok((_, Standing::Refused { why })) => bail!("server {address} is in a cluster and does not let this one in: {why}"),
    })
}

/// Says what is waited for: in the log when it changes and again after ever longer pauses, and at any time to who asks.
struct Notice {
    say: watch::Sender<String>,
    last: String,
    pause: Duration,
    next: Instant,
}

impl Notice {
    fn new(say: watch::Sender<String>) -> Self {
        Self { say, last: String::new(), pause: SAY_AGAIN.0, next: Instant::now() }
    }

    fn tell(&mut self, obstacles: &[Obstacle<AgentId>]) {
        let text = words(obstacles);
        if text != self.last {
            self.pause = SAY_AGAIN.0;
            self.say.send_replace(format!("this server is in no cluster yet: {text}"));
        } else if Instant::now() < self.next {
            return;
        }
        let is_patient = obstacles.iter().all(|o| matches!(o, Obstacle::Silent { .. } | Obstacle::First { .. }));
        if is_patient {
            tracing::info!("{text}");
        } else {
            tracing::warn!("{text}");
        }
        self.last = text;
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(SAY_AGAIN.1);
    }
}

fn words(obstacles: &[Obstacle<AgentId>]) -> String {
    let silent = obstacles.iter().filter(|o| matches!(o, Obstacle::Silent { .. })).count();
    let list = obstacles.iter().map(Obstacle::to_string).collect::<Vec<_>>().join("; ");
    match silent {
        0 => format!("waiting: {list}"),
        1 => format!("waiting for 1 more server: {list}"),
        n => format!("waiting for {n} more servers: {list}"),
    }
}

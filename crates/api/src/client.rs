//! A typed client of the API.

mod error;
mod snapshot;

pub use error::ApiError;

use crate::{
    reason::{REASON_HEADER, Reason},
    types::{
        AgentHealth, AgentSelf, AllocRestartRequest, AllocSignalRequest, AllocStopResponse, AllocationListStub, JobDeregisterResponse,
        JobListStub, JobPlanRequest, JobPlanResponse, JobRegisterRequest, JobRegisterResponse, JobValidateRequest, JobValidateResponse,
        NodeListStub, ServiceListStub, Variable, VariableMetadata,
    },
};
use bytes::Bytes;
use floe_model::{Allocation, Deployment, Evaluation, Job, Nanos, Node, ServiceRegistration, job::JobSummary};
use futures::{Stream, StreamExt};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::{Method, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take, beyond what a blocking query waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a write is sent whose answer got lost.
const WRITE_TRIES: usize = 4;
/// The pause before it is sent again.
const WRITE_PAUSE: Duration = Duration::from_millis(500);

const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'+')
    .add(b'&')
    .add(b'=');

/// An answer with the index that it is true at.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// The index.
    pub index: u64,
}

/// Which rows of a list are asked for; all of them by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows<'a> {
    /// The beginning of their ids.
    pub prefix: &'a str,
    /// An expression that is true of them; see [`crate::filter`].
    pub filter: Option<&'a str>,
}

impl<'a> Rows<'a> {
    /// Those whose ids begin so.
    pub fn with_prefix(prefix: &'a str) -> Self {
        Self { prefix, filter: None }
    }
    /// Those that the expression is true of; all of them without one.
    pub fn filtered(filter: Option<&'a str>) -> Self {
        Self { prefix: "", filter }
    }
    /// As parameters, with others beside them.
    fn query<'q>(&self, others: &[(&'q str, &str)]) -> Vec<(&'q str, String)> {
        let own = [("prefix", (!self.prefix.is_empty()).then_some(self.prefix)), ("filter", self.filter)];
        let own = own.into_iter().filter_map(|(k, v)| Some((k, v?.to_owned())));
        own.chain(others.iter().map(|(k, v)| (*k, (*v).to_owned()))).collect()
    }
}

/// A client of one agent.
#[derive(Clone, Debug)]
pub struct ApiClient {
    address: String,
    namespace: Option<String>,
    token: Option<String>,
    http: reqwest::Client,
}

/// What a request carries.
#[derive(Clone)]
struct Body {
    content_type: &'static str,
    bytes: Vec<u8>,
}

impl Body {
    fn json(path: &str, value: &impl Serialize) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value).map_err(|e| ApiError::BadAnswer { path: path.to_owned(), cause: e.to_string() })?;
        Ok(Self { content_type: "application/json", bytes })
    }
}

fn cas(check_index: Option<u64>) -> Vec<(&'static str, String)> {
    check_index.map(|index| ("cas", index.to_string())).into_iter().collect()
}

/// Escapes one segment of a path, or a value of a query.
pub fn escape(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

impl ApiClient {
    /// A client of the agent at `address`, for example `http://127.0.0.1:4646`.
    ///
    /// # Errors
    /// When the address is no URL, or is one of a kind that is not supported yet.
    pub fn new(address: &str, namespace: Option<String>, token: Option<String>) -> Result<Self, String> {
        let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        if !address.starts_with("http://") {
            return Err(format!("address {address:?}: not supported yet: anything but http://HOST:PORT"));
        }
        reqwest::Url::parse(&address).map_err(|e| format!("address {address:?}: {e}; write http://HOST:PORT"))?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|e| format!("make an HTTP client: {e}"))?;
        Ok(Self { address: address.trim_end_matches('/').to_owned(), namespace, token, http })
    }

    /// Where the agent is.
    pub fn address(&self) -> &str {
        &self.address
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Body>,
        timeout: Option<Duration>,
    ) -> Result<Response, ApiError> {
        let mut query: Vec<(&str, String)> = query.to_vec();
        if let Some(namespace) = &self.namespace
            && !query.iter().any(|(k, _)| *k == "namespace")
        {
            query.push(("namespace", namespace.clone()));
        }
        let mut request = self.http.request(method, format!("{}{path}", self.address)).query(&query);
        if let Some(token) = &self.token {
            request = request.header("x-nomad-token", token);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if let Some(body) = body {
            request = request.header("content-type", body.content_type).body(body.bytes);
        }
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let reason = response.headers().get(REASON_HEADER).and_then(|v| v.to_str().ok()).and_then(Reason::parse);
        let message = response.text().await.unwrap_or_default();
        let message = if message.trim().is_empty() { format!("the agent answered {status} to {path}") } else { message.trim().to_owned() };
        Err(ApiError::Refused { status: status.as_u16(), reason, message })
    }

    /// Sends a write under an id of its own, and sends it again when its answer got lost: it is done once.
    async fn write(&self, method: Method, path: &str, query: &[(&str, String)], body: Option<Body>) -> Result<Response, ApiError> {
        let mut with_id = query.to_vec();
        with_id.push(("idempotency_token", uuid::Uuid::new_v4().to_string()));
        let mut was_in_doubt = false;
        for _ in 1..WRITE_TRIES {
            match self.send(method.clone(), path, &with_id, body.clone(), Some(ANSWER_TIMEOUT)).await {
                Err(error) if error.is_in_doubt() || (was_in_doubt && matches!(error, ApiError::Unreachable { .. })) => was_in_doubt = true,
                Err(error) if error.is_ahead_of_cluster() && !was_in_doubt => {
                    return self.send(method, path, query, body, Some(ANSWER_TIMEOUT)).await;
                }
                answered => return answered,
            }
            tokio::time::sleep(WRITE_PAUSE).await;
        }
        self.send(method, path, &with_id, body, Some(ANSWER_TIMEOUT)).await
    }

    /// As [`ApiClient::put`], done once however often it has to be sent. For paths that take an id.
    async fn put_once<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<Answer<T>, ApiError> {
        let body = Body::json(path, body)?;
        answer(path, self.write(Method::PUT, path, &[], Some(body)).await?).await
    }

    fn unreachable(&self, source: reqwest::Error) -> ApiError {
        let mut cause: &dyn std::error::Error = &source;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = if source.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        ApiError::Unreachable { address: self.address.clone(), cause, source }
    }

    /// Reads JSON at `path` (escaped by the caller).
    ///
    /// # Errors
    /// When the agent is away, refuses, or answers nonsense.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<Answer<T>, ApiError> {
        let response = self.send(Method::GET, path, query, None, Some(ANSWER_TIMEOUT)).await?;
        answer(path, response).await
    }

    /// Reads JSON at `path` once it is newer than `index`, or after `wait`.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn get_after<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        index: u64,
        wait: Nanos,
    ) -> Result<Answer<T>, ApiError> {
        let mut query = query.to_vec();
        query.push(("index", index.to_string()));
        query.push(("wait", wait.to_string()));
        let response = self.send(Method::GET, path, &query, None, Some(wait.to_std() + ANSWER_TIMEOUT)).await?;
        answer(path, response).await
    }

    /// Writes JSON to `path`.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: &impl Serialize,
    ) -> Result<Answer<T>, ApiError> {
        let body = Body::json(path, body)?;
        answer(path, self.send(Method::PUT, path, query, Some(body), Some(ANSWER_TIMEOUT)).await?).await
    }

    /// Reads whatever stands at `path` as JSON text, for `-json` and `operator api`.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn get_text(&self, path: &str, query: &[(&str, String)]) -> Result<String, ApiError> {
        let response = self.send(Method::GET, path, query, None, Some(ANSWER_TIMEOUT)).await?;
        response.text().await.map_err(|e| self.unreachable(e))
    }

    /// Registers a job.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn register_job(&self, request: &JobRegisterRequest) -> Result<JobRegisterResponse, ApiError> {
        Ok(self.put_once("/v1/jobs", request).await?.value)
    }

    /// Asks whether a job would be taken.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn validate_job(&self, job: Job) -> Result<JobValidateResponse, ApiError> {
        Ok(self.put("/v1/validate/job", &[], &JobValidateRequest { job: Some(job), ..JobValidateRequest::default() }).await?.value)
    }

    /// Asks what registering a job would come to; `diff` asks for what differs, too. Nothing is written.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn plan_job(&self, job: Job, diff: bool) -> Result<JobPlanResponse, ApiError> {
        let path = format!("/v1/job/{}/plan", escape(job.id.as_str()));
        let request = JobPlanRequest { job: Some(job), diff, ..JobPlanRequest::default() };
        Ok(self.put(&path, &[], &request).await?.value)
    }

    /// Stops a job.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn stop_job(&self, id: &str, purge: bool) -> Result<JobDeregisterResponse, ApiError> {
        let path = format!("/v1/job/{}", escape(id));
        let response = self.write(Method::DELETE, &path, &[("purge", purge.to_string())], None).await?;
        Ok(answer(&path, response).await?.value)
    }

    /// Jobs.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn jobs(&self, rows: Rows<'_>) -> Result<Vec<JobListStub>, ApiError> {
        Ok(self.get("/v1/jobs", &rows.query(&[])).await?.value)
    }

    /// A job.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn job(&self, id: &str) -> Result<Job, ApiError> {
        Ok(self.get(&format!("/v1/job/{}", escape(id)), &[]).await?.value)
    }

    /// The counts of a job.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn job_summary(&self, id: &str) -> Result<JobSummary, ApiError> {
        Ok(self.get(&format!("/v1/job/{}/summary", escape(id)), &[]).await?.value)
    }

    /// The allocations of a job; see [`ApiClient::get_after`] for `index` and `wait`.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn job_allocations(&self, id: &str, index: u64, wait: Nanos) -> Result<Answer<Vec<AllocationListStub>>, ApiError> {
        let path = format!("/v1/job/{}/allocations", escape(id));
        if index == 0 { self.get(&path, &[]).await } else { self.get_after(&path, &[], index, wait).await }
    }

    /// The evaluations of a job.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn job_evaluations(&self, id: &str) -> Result<Vec<Evaluation>, ApiError> {
        Ok(self.get(&format!("/v1/job/{}/evaluations", escape(id)), &[]).await?.value)
    }

    /// The newest deployment of a job.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn job_deployment(&self, id: &str) -> Result<Option<Deployment>, ApiError> {
        Ok(self.get(&format!("/v1/job/{}/deployment", escape(id)), &[]).await?.value)
    }

    /// An evaluation; see [`ApiClient::get_after`] for `index` and `wait`.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn evaluation(&self, id: &str, index: u64, wait: Nanos) -> Result<Answer<Evaluation>, ApiError> {
        let path = format!("/v1/evaluation/{}", escape(id));
        if index == 0 { self.get(&path, &[]).await } else { self.get_after(&path, &[], index, wait).await }
    }

    /// An allocation.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn allocation(&self, id: &str) -> Result<Allocation, ApiError> {
        Ok(self.get(&format!("/v1/allocation/{}", escape(id)), &[]).await?.value)
    }

    /// Allocations of all namespaces.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn allocations(&self, rows: Rows<'_>) -> Result<Vec<AllocationListStub>, ApiError> {
        Ok(self.get("/v1/allocations", &rows.query(&[("namespace", "*")])).await?.value)
    }

    /// Stops an allocation; the scheduler replaces it.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn stop_allocation(&self, id: &str) -> Result<AllocStopResponse, ApiError> {
        Ok(self.put_once(&format!("/v1/allocation/{}/stop", escape(id)), &serde_json::json!({})).await?.value)
    }

    /// Nodes, with their resources.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn nodes(&self, rows: Rows<'_>) -> Result<Vec<NodeListStub>, ApiError> {
        Ok(self.get("/v1/nodes", &rows.query(&[("resources", "true")])).await?.value)
    }

    /// A node.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn node(&self, id: &str) -> Result<Node, ApiError> {
        Ok(self.get(&format!("/v1/node/{}", escape(id)), &[]).await?.value)
    }

    /// The allocations of a node.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn node_allocations(&self, id: &str) -> Result<Vec<Allocation>, ApiError> {
        Ok(self.get(&format!("/v1/node/{}/allocations", escape(id)), &[]).await?.value)
    }

    /// All services.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn services(&self) -> Result<Vec<ServiceListStub>, ApiError> {
        Ok(self.get("/v1/services", &[]).await?.value)
    }

    /// Instances of a service.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn service(&self, name: &str, rows: Rows<'_>) -> Result<Vec<ServiceRegistration>, ApiError> {
        Ok(self.get(&format!("/v1/service/{}", escape(name)), &rows.query(&[])).await?.value)
    }

    /// Removes what stands at `path`.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn delete(&self, path: &str, query: &[(&str, String)]) -> Result<(), ApiError> {
        self.send(Method::DELETE, path, query, None, Some(ANSWER_TIMEOUT)).await.map(drop)
    }

    /// Starts tasks of an allocation anew, in place: this one, or all that run.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn restart_tasks(&self, alloc: &str, task: Option<&str>) -> Result<(), ApiError> {
        let request = AllocRestartRequest { task_name: task.unwrap_or_default().to_owned(), all_tasks: false };
        self.put::<serde_json::Value>(&format!("/v1/client/allocation/{}/restart", escape(alloc)), &[], &request).await.map(drop)
    }

    /// Sends a signal to tasks of an allocation: to this one, or to all that run.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn signal_tasks(&self, alloc: &str, task: Option<&str>, signal: &str) -> Result<(), ApiError> {
        let request = AllocSignalRequest { task: task.unwrap_or_default().to_owned(), signal: signal.to_owned() };
        self.put::<serde_json::Value>(&format!("/v1/client/allocation/{}/signal", escape(alloc)), &[], &request).await.map(drop)
    }

    /// A variable with what it holds.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn variable(&self, path: &str) -> Result<Variable, ApiError> {
        Ok(self.get(&format!("/v1/var/{}", escape(path)), &[]).await?.value)
    }

    /// Variables, without what they hold.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn variables(&self, rows: Rows<'_>) -> Result<Vec<VariableMetadata>, ApiError> {
        Ok(self.get("/v1/vars", &rows.query(&[])).await?.value)
    }

    /// Writes a variable; with an index only if its modify index is that (zero: if it does not exist).
    ///
    /// # Errors
    /// As [`ApiClient::get`]; with status 409 and the variable as JSON when its index is another one.
    pub async fn put_variable(&self, variable: &Variable, check_index: Option<u64>) -> Result<Variable, ApiError> {
        let path = format!("/v1/var/{}", escape(&variable.path));
        let body = Body::json(&path, variable)?;
        let response = self.write(Method::PUT, &path, &cas(check_index), Some(body)).await?;
        Ok(answer(&path, response).await?.value)
    }

    /// Forgets a variable; with an index as [`ApiClient::put_variable`].
    ///
    /// # Errors
    /// As [`ApiClient::put_variable`].
    pub async fn delete_variable(&self, path: &str, check_index: Option<u64>) -> Result<(), ApiError> {
        self.write(Method::DELETE, &format!("/v1/var/{}", escape(path)), &cas(check_index), None).await.map(drop)
    }

    /// What the agent says of itself.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn agent_self(&self) -> Result<AgentSelf, ApiError> {
        Ok(self.get("/v1/agent/self", &[]).await?.value)
    }

    /// Whether the agent is well. An agent that is not answers too.
    ///
    /// # Errors
    /// When the agent is away.
    pub async fn agent_health(&self) -> Result<AgentHealth, ApiError> {
        match self.get("/v1/agent/health", &[]).await {
            Ok(a) => Ok(a.value),
            Err(ApiError::Refused { message, .. }) => serde_json::from_str(&message)
                .map_err(|e| ApiError::BadAnswer { path: "/v1/agent/health".to_owned(), cause: e.to_string() }),
            Err(e) => Err(e),
        }
    }

    /// A task's output, as it comes.
    ///
    /// # Errors
    /// When the agent is away or refuses; later each piece may fail.
    pub async fn logs(
        &self,
        alloc: &str,
        query: &[(&str, String)],
    ) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + use<>, ApiError> {
        let path = format!("/v1/client/fs/logs/{}", escape(alloc));
        let mut query = query.to_vec();
        query.push(("plain", "true".to_owned()));
        let response = self.send(Method::GET, &path, &query, None, None).await?;
        Ok(response.bytes_stream().map(move |piece| piece.map_err(|e| ApiError::BadAnswer { path: path.clone(), cause: e.to_string() })))
    }
}

async fn answer<T: DeserializeOwned>(path: &str, response: Response) -> Result<Answer<T>, ApiError> {
    let index = response.headers().get(crate::INDEX_HEADER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).unwrap_or(0);
    let bad = |cause: String| ApiError::BadAnswer { path: path.to_owned(), cause };
    let status = response.status();
    let body = response.bytes().await.map_err(|e| bad(e.to_string()))?;
    let body: &[u8] = if status == StatusCode::NO_CONTENT { b"null" } else { &body };
    let value = serde_json::from_slice(body).map_err(|e| bad(e.to_string()))?;
    Ok(Answer { value, index })
}

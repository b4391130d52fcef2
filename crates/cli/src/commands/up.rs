//! `floe up`: a node on this machine, one job on it, and nothing left after Ctrl-C.

use super::{
    monitor::{self, Came, Monitor},
    source,
};
use crate::{
    agent::{Agent, AgentConfig, Ending, Interrupts, Mode, Supervisor, start_logging},
    args::{AgentArgs, JobFileArgs, UpArgs},
    output::{self, Progress},
};
use anyhow::{Context, bail};
use floe_api::{ApiClient, types::JobRegisterRequest};
use floe_model::{Job, JobType, Nanos};
use std::{net::TcpListener, process::ExitCode};

/// Names of what this command makes on the machine, so that it does not get in the way of an agent that runs here as a service.
const BRIDGE: &str = "floe-up";
const SUBNET: &str = "172.26.80.0/20";
const CGROUP: &str = "floe-up.slice";
/// How long one look waits for something new.
const LOOK: Nanos = Nanos::from_secs(2);

pub(super) fn command(args: &UpArgs) -> anyhow::Result<ExitCode> {
    let file = JobFileArgs { file: args.file.clone(), json: false, variables: args.variables.clone() };
    let source = source::read(&file)?;
    // Said before anything is started, in the words of the job file.
    let mut checked = source.job.clone();
    floe_server::admission::admit(&mut checked, &[])?;
    Agent::check_host()?;
    start_logging(&args.log_level, false)?;
    let config = config(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the async runtime")?;
    runtime.block_on(up(args, config, source, &checked))
}

fn config(args: &UpArgs) -> anyhow::Result<AgentConfig> {
    let agent = AgentArgs { dev: true, data_dir: args.data_dir.clone(), ..AgentArgs::default() };
    let mut config = AgentConfig::load(&agent)?;
    config.mode = Mode::Everything;
    config.temporary_name = BRIDGE;
    CGROUP.clone_into(&mut config.file.client.cgroup_parent);
    config.network.bridge = BRIDGE.to_owned();
    config.network.table = BRIDGE.to_owned();
    config.network.subnet = SUBNET.parse().context("the subnet of floe up")?;
    config.network.netns_dir = "/run/floe/up/netns".into();
    config.http_port = free_or_any(config.http_port);
    config.rpc_port = free_or_any(config.rpc_port);
    Ok(config)
}

/// The port when nobody has it, else any: an agent that runs as a service keeps its ports.
fn free_or_any(port: u16) -> u16 {
    TcpListener::bind(("127.0.0.1", port)).map_or(0, |_| port)
}

async fn up(args: &UpArgs, config: AgentConfig, source: source::Source, job: &Job) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::new();
    progress.waiting("starts the agent");
    let mut interrupts = Interrupts::listen()?;
    let agent = Agent::start(&config, &Supervisor::default()).await?;
    let result = tokio::select! {
        result = serve_job(args, &agent, source, job, &mut progress) => result,
        () = interrupts.next() => Ok(ExitCode::SUCCESS),
        reason = agent.failure() => Err(anyhow::anyhow!("the agent had to stop: {reason}")),
    };
    progress.say("");
    progress.waiting("stops the job and takes everything away");
    agent.stop(Ending::Everything).await;
    progress.done("stopped; nothing is left behind");
    result
}

/// Submits the job, says how it comes up, and waits.
async fn serve_job(args: &UpArgs, agent: &Agent, source: source::Source, job: &Job, progress: &mut Progress) -> anyhow::Result<ExitCode> {
    progress.waiting("waits until the node is registered");
    agent.wait_ready().await;
    let address = format!("http://{}", agent.http);
    progress.done(&format!("agent ready: server and client at {address}, data in {}", agent.folder().display()));
    let client = ApiClient::new(&address, None, None).map_err(|e| anyhow::anyhow!(e))?;
    let request = JobRegisterRequest { job: Some(source.job), submission: Some(source.submission), ..JobRegisterRequest::default() };
    let response = client.register_job(&request).await?;
    response.warnings.lines().for_each(output::warning);
    let id = job.id.to_string();
    progress.done(&format!("job {id:?} submitted"));
    if response.eval_id.is_empty() {
        bail!("job {id:?} makes no allocations by itself");
    }
    let came = Monitor::new(&client, &id, false, progress).follow(response.eval_id.as_str()).await?;
    if came == Came::Short {
        progress.say(&format!("  look closer with: floe job status -address={address} {id}"));
    }
    addresses(&client, &id, progress).await?;
    if args.once {
        if job.job_type.is_batch() {
            return until_over(&client, &id, job.job_type).await;
        }
        return Ok(if came == Came::Up { ExitCode::SUCCESS } else { ExitCode::from(2) });
    }
    progress.say(&output::dim("Press Ctrl-C to stop it and take everything away."));
    std::future::pending().await
}

/// Says where the job's ports are reached.
async fn addresses(client: &ApiClient, job: &str, progress: &mut Progress) -> anyhow::Result<()> {
    let allocs = client.job_allocations(job, 0, Nanos::ZERO).await?.value;
    for stub in allocs.iter().filter(|a| monitor::runs(a)) {
        let alloc = client.allocation(stub.id.as_str()).await?;
        for port in &alloc.allocated_resources.shared.ports {
            let here = format!("http://127.0.0.1:{}", port.value);
            let outside = if port.host_ip.is_empty() || port.host_ip.starts_with("127.") {
                String::new()
            } else {
                format!(" and http://{}:{}", port.host_ip, port.value)
            };
            progress.say(&format!("  {} {}{outside}", output::bold(&format!("{}.{}:", alloc.task_group, port.label)), here));
        }
    }
    Ok(())
}

async fn until_over(client: &ApiClient, job: &str, job_type: JobType) -> anyhow::Result<ExitCode> {
    let mut index = 0;
    loop {
        let answer = client.job_allocations(job, index, LOOK).await?;
        if monitor::is_over(job_type, &answer.value) {
            let well = answer.value.iter().all(|a| a.client_status == floe_model::AllocClientStatus::Complete);
            return Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        index = answer.index;
    }
}

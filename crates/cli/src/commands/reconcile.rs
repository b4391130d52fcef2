//! `floe job reconcile`: brings the cluster in line with a folder of job files.
//!
//! `floe_model::declared` decides; this reads the files, asks the cluster, and does each step by the index that it was decided at. A job that fails does
//! not keep the others from being done.

use super::{client, plan, source, wait};
use crate::{
    args::{Global, JobFileArgs, JobReconcileArgs, VariableArgs},
    output::{self, diff},
};
use anyhow::{Context, bail};
use floe_api::{
    ApiClient, ApiError,
    types::{JobListStub, JobRegisterRequest},
};
use floe_model::{
    JobId, Nanos,
    declared::{Leftovers, Owner, Present, Step, owner_of, steps},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// The endings of job files.
const ENDINGS: [&str; 4] = ["nix", "hcl", "nomad", "json"];
/// How many job files a folder may hold.
const MAX_FILES: usize = 1000;
/// How often a step is decided anew when somebody else changed the job in between.
const TRIES: usize = 3;
/// The pause between two looks at an agent that has no leader yet.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Created,
    Changed,
    Unchanged,
    Pruned,
    Kept,
    Refused,
    Failed,
}

impl Came {
    const ALL: [Came; 7] = [Came::Created, Came::Changed, Came::Unchanged, Came::Pruned, Came::Kept, Came::Refused, Came::Failed];

    fn word(self) -> &'static str {
        match self {
            Came::Created => "created",
            Came::Changed => "changed",
            Came::Unchanged => "unchanged",
            Came::Pruned => "pruned",
            Came::Kept => "kept",
            Came::Refused => "refused",
            Came::Failed => "failed",
        }
    }
}

/// What went on with all jobs, for the last line and the exit code.
#[derive(Default)]
struct Tally(BTreeMap<Came, usize>);

impl Tally {
    fn say(&mut self, came: Came, what: &str, more: &str) {
        *self.0.entry(came).or_default() += 1;
        let more = if more.is_empty() { String::new() } else { format!(": {more}") };
        output::line(format!("{:<9}  {what}{more}", came.word()));
    }
    fn of(&self, came: Came) -> usize {
        self.0.get(&came).copied().unwrap_or(0)
    }
    fn went_wrong(&self) -> bool {
        self.of(Came::Refused) + self.of(Came::Failed) > 0
    }
    fn summary(&self) -> String {
        let said: Vec<String> = Came::ALL.iter().filter(|c| self.of(**c) > 0).map(|c| format!("{} {}", self.of(*c), c.word())).collect();
        if said.is_empty() { "no jobs are declared, and none is owned".to_owned() } else { said.join(", ") }
    }
    fn exit_code(&self, dry_run: bool) -> ExitCode {
        let touched = self.of(Came::Created) + self.of(Came::Changed) + self.of(Came::Pruned);
        match dry_run {
            true if self.went_wrong() => ExitCode::from(plan::UNKNOWN),
            true if touched > 0 => ExitCode::from(1),
            false if self.went_wrong() => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        }
    }
}

/// The files of the folder: jobs by their ids, and how many could not be read.
struct Folder {
    order: Vec<JobId>,
    jobs: BTreeMap<JobId, (String, source::Source)>,
    is_complete: bool,
}

pub(super) fn command(global: &Global, args: &JobReconcileArgs) -> ExitCode {
    let done = client(global).and_then(|client| wait(reconcile(client, args)));
    done.unwrap_or_else(|error| {
        output::error(&error);
        if args.dry_run { ExitCode::from(plan::UNKNOWN) } else { ExitCode::FAILURE }
    })
}

async fn reconcile(client: ApiClient, args: &JobReconcileArgs) -> anyhow::Result<ExitCode> {
    let owner = Owner::new(&args.owner)?;
    let mut tally = Tally::default();
    let folder = read(&args.folder, &owner, &mut tally)?;
    wait_for_leader(&client, args.wait).await?;
    let run = Run { client, owner, folder, args };
    for step in run.steps().await? {
        run.step(step, &mut tally).await;
    }
    output::line(format!("{}{}", if args.dry_run { "dry run: " } else { "" }, tally.summary()));
    Ok(tally.exit_code(args.dry_run))
}

/// Reads all job files. One that is wrong is said, and the others are read all the same.
fn read(path: &Path, owner: &Owner, tally: &mut Tally) -> anyhow::Result<Folder> {
    let mut folder = Folder { order: Vec::new(), jobs: BTreeMap::new(), is_complete: true };
    for file in job_files(path)? {
        let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let variables = VariableArgs { hcl2_strict: true, ..VariableArgs::default() };
        let source = source::read(&JobFileArgs { file, json: false, variables }).and_then(|mut source| {
            owner.mark(&mut source.job)?;
            Ok(source)
        });
        match source {
            Ok(source) => {
                let id = source.job.id.clone();
                folder.order.push(id.clone());
                let twice = folder.jobs.remove(&id).map(|(first, _)| format!("{first}, {name}"));
                folder.jobs.insert(id, (twice.unwrap_or(name), source));
            }
            Err(error) => {
                folder.is_complete = false;
                tally.say(Came::Failed, &name, &format!("{error:#}"));
            }
        }
    }
    Ok(folder)
}

fn job_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let what = || format!("read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        let is_job = path.extension().and_then(|e| e.to_str()).is_some_and(|e| ENDINGS.contains(&e));
        if is_job && !path.is_dir() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            bail!("{} holds more than {MAX_FILES} job files: divide it, each part with an owner of its own", folder.display());
        }
    }
    files.sort();
    Ok(files)
}

/// Waits until the agent answers and knows a leader.
async fn wait_for_leader(client: &ApiClient, patience: Nanos) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let why = match client.get::<String>("/v1/status/leader", &[]).await {
            Ok(answer) if !answer.value.is_empty() => return Ok(()),
            Ok(_) => "the cluster has no leader".to_owned(),
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= patience.to_std() {
            bail!("{why} (waited for {patience})");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Why a step came to nothing.
enum Undone {
    /// Somebody changed the job in between.
    Changed(String),
    /// It cannot be done.
    Failed(String),
}

impl From<ApiError> for Undone {
    fn from(error: ApiError) -> Self {
        let words = error.to_string();
        if words.starts_with(super::job::CHANGED) { Undone::Changed(words) } else { Undone::Failed(words) }
    }
}

struct Run<'a> {
    client: ApiClient,
    owner: Owner,
    folder: Folder,
    args: &'a JobReconcileArgs,
}

impl Run<'_> {
    /// What is to be done, as the cluster is now.
    async fn steps(&self) -> Result<Vec<Step>, ApiError> {
        let stubs: Vec<JobListStub> = self.client.get("/v1/jobs", &[("meta", "true".to_owned())]).await?.value;
        let present: Vec<Present> = stubs
            .into_iter()
            // Children are their parents'.
            .filter(|job| job.parent_id.is_empty())
            .map(|job| {
                let owner = job.meta.as_ref().and_then(owner_of).map(str::to_owned);
                Present { id: job.id, index: job.job_modify_index, owner, stop: job.stop }
            })
            .collect();
        // Of a file that cannot be read nobody knows which job it declares: it must not be taken for one that went.
        let leftovers = if self.args.prune && self.folder.is_complete { Leftovers::Prune } else { Leftovers::Keep };
        Ok(steps(&self.owner, &self.folder.order, &present, leftovers))
    }

    /// Does a step, and decides it anew when somebody was faster.
    async fn step(&self, mut step: Step, tally: &mut Tally) {
        let id = step.id().clone();
        let what = self.folder.jobs.get(&id).map_or_else(|| id.to_string(), |(file, _)| format!("{id} ({file})"));
        let mut tries = 1;
        loop {
            let why = match self.try_step(&step).await {
                Ok((came, more)) => return tally.say(came, &what, &more),
                Err(Undone::Changed(_)) if tries < TRIES => match self.steps().await {
                    Ok(all) => all.into_iter().find(|s| *s.id() == id).map(|next| step = next).ok_or("somebody else stopped it".to_owned()),
                    Err(error) => Err(error.to_string()),
                },
                Err(Undone::Changed(why) | Undone::Failed(why)) => Err(why),
            };
            if let Err(why) = why {
                return tally.say(Came::Failed, &what, &why);
            }
            tries += 1;
        }
    }

    async fn try_step(&self, step: &Step) -> Result<(Came, String), Undone> {
        match step {
            Step::Submit { id, index } => self.submit(id, *index).await.map(|came| (came, String::new())),
            Step::Prune { id, index } => self.prune(id, *index).await.map(|came| (came, String::new())),
            Step::Refuse { why, .. } => Ok((Came::Refused, why.clone())),
            Step::Keep { .. } if !self.folder.is_complete => {
                Ok((Came::Kept, "it is declared no longer, unless by a file that could not be read".to_owned()))
            }
            Step::Keep { .. } => Ok((Came::Kept, "it is declared no longer; -prune stops it".to_owned())),
        }
    }

    /// Registers a job if the cluster's differs.
    async fn submit(&self, id: &JobId, index: u64) -> Result<Came, Undone> {
        let Some((_, source)) = self.folder.jobs.get(id) else { return Err(Undone::Failed("its file is gone".to_owned())) };
        let planned = self.client.plan_job(source.job.clone(), true).await?;
        if planned.job_modify_index != index {
            return Err(Undone::Changed(format!("somebody else changes it all the time (index {})", planned.job_modify_index)));
        }
        planned.warnings.lines().for_each(|w| output::warning(&format!("{id}: {w}")));
        if index != 0 && !plan::differs(&planned) {
            return Ok(Came::Unchanged);
        }
        if let Some(found) = planned.diff.as_ref().filter(|_| self.args.dry_run) {
            output::line(diff::job(found, false));
        } else {
            let submission = Some(source.submission.clone());
            self.register(JobRegisterRequest { job: Some(source.job.clone()), submission, ..by_index(index) }).await?;
        }
        Ok(if index == 0 { Came::Created } else { Came::Changed })
    }

    /// Stops a job by its index: what is registered is the job as it is, stopped. (Stopping it by its id would stop whatever has that id by then.)
    async fn prune(&self, id: &JobId, index: u64) -> Result<Came, Undone> {
        let mut job = self.client.job(id.as_str()).await?;
        if job.job_modify_index != index {
            return Err(Undone::Changed("somebody else changes it all the time".to_owned()));
        }
        job.stop = true;
        if !self.args.dry_run {
            self.register(JobRegisterRequest { job: Some(job), ..by_index(index) }).await?;
        }
        Ok(Came::Pruned)
    }

    async fn register(&self, request: JobRegisterRequest) -> Result<(), Undone> {
        Ok(self.client.register_job(&request).await.map(drop)?)
    }
}

/// A registration that is refused when the job has another index.
fn by_index(index: u64) -> JobRegisterRequest {
    JobRegisterRequest { enforce_index: true, job_modify_index: index, ..JobRegisterRequest::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn job_files_are_found_by_their_endings_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(folder.path().join(name), "").unwrap();
        ["b.nix", "a.hcl", "c.nomad", "README.md", "nix", "d.json~"].into_iter().for_each(put);
        fs::create_dir(folder.path().join("lib.nix")).unwrap();
        let names = |files: Vec<PathBuf>| files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>();
        assert_eq!(names(job_files(folder.path()).unwrap()), ["a.hcl", "b.nix", "c.nomad"]);
        (3..MAX_FILES).for_each(|i| put(&format!("{i}.json")));
        assert_eq!(job_files(folder.path()).unwrap().len(), MAX_FILES);
        put("one-more.json");
        assert!(job_files(folder.path()).unwrap_err().to_string().contains("more than 1000 job files"));
    }

    #[test]
    fn the_last_line_and_the_exit_code_sum_up() {
        let tally = |came: &[Came]| Tally(came.iter().map(|c| (*c, 1)).collect());
        let code = |came: &[Came], dry_run| format!("{:?}", tally(came).exit_code(dry_run));
        let expected = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(tally(&[Came::Kept, Came::Created]).summary(), "1 created, 1 kept");
        assert_eq!(tally(&[]).summary(), "no jobs are declared, and none is owned");
        for quiet in [&[][..], &[Came::Unchanged], &[Came::Kept]] {
            assert_eq!((code(quiet, false), code(quiet, true)), (expected(0), expected(0)));
        }
        for busy in [Came::Created, Came::Changed, Came::Pruned] {
            assert_eq!((code(&[busy], false), code(&[busy], true)), (expected(0), expected(1)));
        }
        for wrong in [Came::Refused, Came::Failed] {
            assert_eq!((code(&[wrong, Came::Created], false), code(&[wrong, Came::Created], true)), (expected(1), expected(255)));
        }
    }
}

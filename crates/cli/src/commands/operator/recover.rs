//! `floe operator recover`: a new cluster of what is left when a majority of the servers is gone for good.
//!
//! On the server with the most recent log it makes a cluster of that server alone; on each other one that is left it sets the log aside, so that the
//! server joins that cluster. When none is left it makes a first server from a snapshot ([`from_snapshot`]). All of them say first what they would do, and do it with `-confirm`. What runs on clients is not touched by either.

mod from_snapshot;

use crate::{
    args::RecoverArgs,
    output::{self, columns},
};
use anyhow::{Context, bail};
use floe_consensus::{Clock, DataFolder, Entropy, Member, OsEntropy, Position, ServerId, Survey, SystemClock};
use floe_state::Stamp;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The folder of the log and the snapshots within a data folder.
const SERVER: &str = "server";
/// The log's file in it.
const LOG: &str = "raft.redb";
/// What the folder of the log is called when it was set aside.
const ASIDE: &str = "server.before-recovery";

pub(in crate::commands) async fn command(args: &RecoverArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.from_snapshot {
        return from_snapshot::command(args, file).await;
    }
    let data_dir = args.data_dir.as_deref().context("-data-dir is missing")?;
    // Opening a log makes one.
    let has_log = data_dir.join(SERVER).join(LOG).is_file();
    let is_set_aside = args.rejoin.is_some() && data_dir.join(ASIDE).is_dir();
    if !has_log && !is_set_aside {
        bail!("{} is not the data folder of a server; -data-dir is what the agent's data_dir is", data_dir.display());
    }
    let folder = DataFolder::open(data_dir)?;
    match &args.rejoin {
        Some(after) => rejoin(args, data_dir, folder, position(after)?).await,
        None => recover(args, folder).await,
    }
}

async fn survey(folder: &DataFolder) -> anyhow::Result<Survey> {
    let folder = folder.clone();
    Ok(tokio::task::spawn_blocking(move || Survey::of(&folder)).await.context("read the data folder")??)
}

async fn recover(args: &RecoverArgs, folder: DataFolder) -> anyhow::Result<ExitCode> {
    let survey = survey(&folder).await?;
    show(&survey);
    let survivors = args.survivor.iter().map(|named| find(&survey, named)).collect::<anyhow::Result<BTreeSet<ServerId>>>()?;
    let given_up = survey.given_up(&survivors)?;
    let names = given_up.iter().map(|m| format!("{} ({})", m.address.name, m.id)).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "This server becomes the only voter of a new cluster, with all entries up to {}. Entries that were acknowledged without this server are lost; \
         entries that were under way may be carried out. Recover on the server whose last entry has the highest term, and among those the highest \
         index: run this command without -confirm on each that is left, and compare.\n",
        written(survey.last)
    );
    if !names.is_empty() {
        text += &format!(
            "\nRefused from then on, under their ids: {names}. Be sure that they do not run, and never start them again with their old data \
             folders: where they cannot reach this server, a majority of them would go on as the old cluster.\n"
        );
    }
    if !survivors.is_empty() {
        text += "\nOn each other survivor run the command with -rejoin next, before its agent is started.\n";
    }
    output::line(text);
    if !args.confirm {
        output::line("Nothing was changed. To do it, run the same command with -confirm.");
        return Ok(ExitCode::SUCCESS);
    }
    let stamp = Stamp { now: SystemClock.now(), seed: OsEntropy.seed() };
    let now = floe_consensus::recover(folder, survivors, stamp).await?;
    output::line(format!(
        "This server is a cluster of its own now. Start its agent; then let other servers join, with tokens (floe server token -server).\nOn other survivors: \
         floe operator recover -data-dir DIR -rejoin {}",
        written(survey.last)
    ));
    debug_assert!(now.last > survey.last);
    Ok(ExitCode::SUCCESS)
}

async fn rejoin(args: &RecoverArgs, data_dir: &Path, folder: DataFolder, recovered: Position) -> anyhow::Result<ExitCode> {
    let server = data_dir.join(SERVER);
    // An earlier run may have got no further than setting the log aside.
    if server.join(LOG).is_file() {
        let survey = survey(&folder).await?;
        show(&survey);
        if survey.last > recovered {
            bail!(
                "the last entry of this server is {}, after {} of the recovered one: it has entries that were lost there. Keep this folder; recovering \
                 here instead keeps more",
                written(survey.last),
                written(recovered)
            );
        }
    }
    let aside = free_name(data_dir)?;
    output::line(format!(
        "The log and the snapshots of this server are set aside as {}, and it joins the recovered cluster under its id: name the recovered server in \
         retry_join, and start the agent. What its client runs goes on.\n",
        aside.display()
    ));
    if !args.confirm {
        output::line("Nothing was changed. To do it, run the same command with -confirm.");
        return Ok(ExitCode::SUCCESS);
    }
    if server.is_dir() {
        std::fs::rename(&server, &aside).with_context(|| format!("set {} aside", server.display()))?;
        std::fs::File::open(data_dir).and_then(|f| f.sync_all()).context("set the log aside")?;
    }
    // After the log is gone: a server that forgot that it was a member must not find its old log.
    crate::agent::forget_membership(data_dir)?;
    output::line("Done. Start the agent.");
    Ok(ExitCode::SUCCESS)
}

/// A name for the folder that is set aside.
fn free_name(data: &Path) -> anyhow::Result<PathBuf> {
    let names = (0..1000).map(|n| data.join(if n == 0 { ASIDE.to_owned() } else { format!("{ASIDE}.{n}") }));
    names.into_iter().find(|path| !path.exists()).context("a thousand logs were set aside here already: remove some")
}

/// What the folder knows.
fn show(survey: &Survey) {
    let known = |p: Option<Position>| p.map_or_else(|| "unknown".to_owned(), written);
    let snapshot = survey.snapshot.map_or_else(|| "none".to_owned(), |s| format!("{}-{}", s.term, s.index));
    output::line(format!(
        "Server        {}\nCluster       {}\nLast entry    {} (term-index)\nCommitted     {} or later\nVoted in term {}\nSnapshot      {}\n",
        survey.id,
        survey.cluster.as_ref().map_or("none", |c| c.as_str()),
        written(survey.last),
        known(survey.committed),
        survey.term,
        snapshot
    ));
    let mut rows = vec![["Node", "ID", "Address", "Voter"].map(output::bold).to_vec()];
    let row = |m: &Member| vec![m.address.name.clone(), m.id.to_string(), m.address.rpc.clone(), m.is_voter.to_string()];
    rows.extend(survey.members.iter().map(row));
    output::line(format!("{}\n", columns(&rows)));
}

/// The member that goes by this name or id.
fn find(survey: &Survey, named: &str) -> anyhow::Result<ServerId> {
    let found: Vec<&Member> = survey.members.iter().filter(|m| m.id.as_str() == named || m.address.name == named).collect();
    match found.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => bail!("{named} is no member of this server's cluster; take a name or an id of the list above"),
        _ => bail!("{named} is the name of several members; take the id"),
    }
}

fn written(position: Position) -> String {
    format!("{}-{}", position.term, position.index)
}

fn position(text: &str) -> anyhow::Result<Position> {
    let parsed = text.split_once('-').and_then(|(term, index)| Some(Position { term: term.parse().ok()?, index: index.parse().ok()? }));
    parsed.with_context(|| format!("{text} is not a term and an index, as in 7-1234"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written_and_compares_by_term_first() {
        let at = |text: &str| position(text).unwrap();
        assert_eq!(written(at("7-1234")), "7-1234");
        assert!(at("8-1") > at("7-1234") && at("7-1235") > at("7-1234"));
        for wrong in ["7", "7-", "-7", "a-b", "7-1-2"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}

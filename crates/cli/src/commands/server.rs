//! `floe server ...`.

use crate::{
    args::ServerTokenArgs,
    output::{self, columns},
};
use anyhow::Context;
use floe_api::{
    ApiClient,
    types::{JoinTokenRequest, JoinTokenResponse, RaftConfiguration, ServerMembers},
};
use floe_model::Nanos;
use floe_pki::BootstrapSecret;
use std::{path::Path, process::ExitCode};
use zeroize::Zeroizing;

pub(super) async fn members(client: &ApiClient, json: bool) -> anyhow::Result<ExitCode> {
    let members: ServerMembers = client.get("/v1/agent/members", &[]).await?.value;
    if json {
        output::json(&members.members)?;
        return Ok(ExitCode::SUCCESS);
    }
    let raft: RaftConfiguration = client.get("/v1/operator/raft/configuration", &[]).await?.value;
    let head = ["Name", "Address", "Port", "Status", "Leader", "Build", "Datacenter", "Region"];
    let mut rows = vec![head.map(output::bold).to_vec()];
    for member in &members.members {
        let tag = |name: &str| member.tags.get(name).cloned().unwrap_or_default();
        let leads = raft.servers.iter().any(|s| s.leader && s.id == tag("id"));
        let (name, address, port) = (member.name.clone(), member.addr.clone(), member.port.to_string());
        rows.push(vec![name, address, port, output::status(&member.status), leads.to_string(), tag("build"), tag("dc"), tag("region")]);
    }
    output::line(columns(&rows));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn token(client: &ApiClient, args: &ServerTokenArgs) -> anyhow::Result<ExitCode> {
    let ttl = Nanos::parse(&args.ttl).with_context(|| format!("-ttl {:?}", args.ttl))?;
    let role = if args.server { "server" } else { "client" };
    let request = JoinTokenRequest { role: role.to_owned(), ttl };
    let token: JoinTokenResponse = client.put("/v1/operator/join-token", &[], &request).await?.value;
    if args.json {
        output::json(&token)?;
        return Ok(ExitCode::SUCCESS);
    }
    // The token alone on standard output, so that it can be written to a file.
    output::line(&token.token);
    let setting = if args.server { "server.retry_join" } else { "client.servers" };
    output::note(&format!(
        "lets one {role} join within {}; give it there as join_token_file, and name a server ({}) in {setting}",
        args.ttl,
        token.servers.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}

/// Nobody is asked for it: there is no cluster yet.
pub(super) fn bootstrap_secret() -> ExitCode {
    output::line(BootstrapSecret::draw().text().as_str());
    output::note(
        "give it to all servers that are to begin a cluster together, as server.bootstrap_secret_file (a file of mode 0600), with the number of them as \
         server.bootstrap_expect and their addresses as server.retry_join",
    );
    ExitCode::SUCCESS
}

/// Made here, for no server may have it but by the file.
pub(super) fn keyring_key(out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let key = floe_keyring::draw_key_file().context("draw random numbers")?;
    match out {
        Some(path) if path.exists() => {
            anyhow::bail!("{} is there already: what its key wrapped would be lost with it; name another file", path.display())
        }
        Some(path) => {
            let line = Zeroizing::new(format!("{}\n", key.as_str()));
            crate::files::write_whole(path, line.as_bytes(), false)?;
        }
        None => output::line(key.as_str()),
    }
    output::note(
        "give it to all servers, outside of data_dir, as keyring \"file\" { path = ... } (a file of mode 0600) or as a credential of systemd; keep a \
         copy where no backup of the cluster is: without it, what the cluster keeps secret is lost",
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_keyring::{KekConfig, Keks, Provider};

    #[test]
    fn a_key_file_is_made_once_and_can_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        let ids = || {
            let config = KekConfig { active: true, provider: Provider::File { path: path.clone() } };
            Keks::open(vec![config], None).unwrap().ids()
        };
        keyring_key(Some(&path)).unwrap();
        let made = ids();
        let again = keyring_key(Some(&path)).unwrap_err().to_string();
        assert!(again.contains("is there already") && ids() == made, "{again}");
        std::fs::remove_file(&path).unwrap();
        keyring_key(Some(&path)).unwrap();
        assert_ne!(ids(), made);
    }
}

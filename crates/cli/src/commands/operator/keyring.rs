//! `floe operator root keyring ...`

use crate::{
    args::{KeyringCommand, KeyringRotateArgs},
    output::{self, columns},
};
use anyhow::{Context, bail};
use floe_api::{
    ApiClient,
    types::{KeyringRotateResponse, RootKeyMeta},
};
use floe_model::Nanos;
use std::process::ExitCode;

pub(in crate::commands) async fn command(client: &ApiClient, command: &KeyringCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyringCommand::List { json, verbose } => list(client, *json, *verbose).await,
        KeyringCommand::Rotate(args) => rotate(client, args).await,
        KeyringCommand::Remove { id, force } => remove(client, id, *force).await,
    }
}

async fn keys(client: &ApiClient) -> anyhow::Result<Vec<RootKeyMeta>> {
    Ok(client.get("/v1/operator/keyring/keys", &[]).await?.value)
}

async fn list(client: &ApiClient, json: bool, verbose: bool) -> anyhow::Result<ExitCode> {
    let keys = keys(client).await?;
    if json {
        output::json(&keys)?;
    } else {
        show(&keys, verbose);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(keys: &[RootKeyMeta], verbose: bool) {
    let mut head = vec!["Key", "State", "Create Time", "Publish Time"];
    if verbose {
        head.extend(["Sealed", "Key-Encryption Keys"]);
    }
    let mut rows = vec![head.into_iter().map(output::bold).collect::<Vec<_>>()];
    for key in keys {
        let published = if key.publish_time > 0 { output::moment(key.publish_time) } else { "<none>".to_owned() };
        let mut row = vec![output::id(&key.key_id, verbose), key.state.clone(), output::moment(key.create_time), published];
        if verbose {
            row.extend([key.sealed.to_string(), key.wrapped_by.join(", ")]);
        }
        rows.push(row);
    }
    output::line(columns(&rows));
    for key in keys.iter().filter(|key| !key.closed.is_empty()) {
        output::warning(&format!("the server that was asked cannot open {}: {}", output::id(&key.key_id, verbose), key.closed));
    }
}

async fn rotate(client: &ApiClient, args: &KeyringRotateArgs) -> anyhow::Result<ExitCode> {
    let mut query = Vec::new();
    if args.full {
        query.push(("full", "true".to_owned()));
    }
    if let Some(text) = &args.prepublish {
        let wait = Nanos::parse(text).with_context(|| format!("-prepublish {text:?}"))?;
        if wait <= Nanos::ZERO {
            bail!("-prepublish {text:?} is no time to wait; leave it out to make the key active at once");
        }
        query.push(("publish_time", output::now_nanos().saturating_add(wait.0).to_string()));
    }
    let made: KeyringRotateResponse = client.put("/v1/operator/keyring/rotate", &query, &()).await?.value;
    show(&[made.key], args.verbose);
    if args.full {
        output::note(
            "what is sealed with other keys is being sealed anew; those are \"rekeying\" until that is done (floe operator root keyring list)",
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(client: &ApiClient, id: &str, force: bool) -> anyhow::Result<ExitCode> {
    let keys = keys(client).await?;
    let found: Vec<&RootKeyMeta> = keys.iter().filter(|key| !id.is_empty() && key.key_id.starts_with(id)).collect();
    let key = match found.as_slice() {
        [key] => key,
        [] => bail!("no root key begins with {id:?}; floe operator root keyring list shows those that are there"),
        _ => bail!("{} root keys begin with {id:?}; give more of it (floe operator root keyring list -verbose)", found.len()),
    };
    let query: &[(&str, String)] = if force { &[("force", "true".to_owned())] } else { &[] };
    client.delete(&format!("/v1/operator/keyring/key/{}", key.key_id), query).await?;
    output::line(format!("Removed encryption key {}", key.key_id));
    Ok(ExitCode::SUCCESS)
}

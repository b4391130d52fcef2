//! Tests of the agent's configuration.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use floe_control::snapshots::Schedule;
use floe_s3::CredentialFiles;
use floe_server::Target;
use std::os::unix::fs::PermissionsExt;

pub(super) fn load(files: &[(&str, &str)], edit: impl FnOnce(&mut AgentArgs)) -> anyhow::Result<AgentConfig> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let mut args = AgentArgs::default();
    if !files.is_empty() {
        args.config.push(dir.path().to_owned());
    }
    edit(&mut args);
    AgentConfig::load(&args)
}

#[test]
fn files_are_merged_in_order_and_flags_win() {
    let hcl = "data_dir = \"/a\"\nserver { enabled = true }\nclient {\n enabled = true\n meta { rack = \"1\" }\n }\nplugin \"raw_exec\" {\n config { enabled = true }\n }";
    let json = r#"{"data_dir": "/b", "client": {"meta": {"zone": "x"}}, "server": {"heartbeat_grace": "3s"}}"#;
    let c = load(&[("1.hcl", hcl), ("2.json", json)], |a| a.dc = Some("dc9".to_owned())).unwrap();
    assert_eq!((c.data_dir.as_deref(), c.datacenter.as_str()), (Some(Path::new("/b")), "dc9"));
    assert_eq!(c.file.client.meta.len(), 2);
    assert!(c.raw_exec && c.server && c.client && c.mode == Mode::Leave);
    assert_eq!(c.heartbeat().grace, Nanos::from_secs(3));
}

#[test]
fn dev_mode_is_temporary_unless_a_folder_is_given() {
    assert_eq!(load(&[], |a| a.dev = true).unwrap().mode, Mode::Everything);
    let kept = load(&[], |a| {
        a.dev = true;
        a.data_dir = Some("/x".into());
    })
    .unwrap();
    assert_eq!(kept.mode, Mode::Leave);
}

#[test]
fn what_is_said_about_images_is_checked() {
    let load = |images: &str| {
        let hcl = format!("data_dir = \"/a\"\nserver {{ enabled = true }}\nclient {{\n enabled = true\n images {{\n{images}\n}}\n}}");
        load(&[("a.hcl", &hcl)], |_| {}).map(|c| c.images).map_err(|e| format!("{e:#}"))
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let registry = |more: &str| format!("registry \"example.com\" {{\n username = \"me\"\n password_file = {file:?}\n{more}\n}}");
    let found = load(&format!("gc_delay = \"5m\"\nmax_mb = 7\nhost_paths = true\nsources = []\n{}", registry("insecure = true"))).unwrap();
    assert_eq!((found.pulls.keep.delay.as_secs(), found.pulls.keep.max_bytes, found.host_paths), (300, 7 << 20, true));
    let known = &found.pulls.registries["example.com"];
    assert_eq!(known.credentials.as_ref().map(|c| (c.username.as_str(), c.password.as_str())), Some(("me", "secret")));
    assert!(found.pulls.sources.is_empty() && known.plain_http == Some(true));
    assert!(load(&registry("mirrors = [\"ftp://x\"]")).unwrap_err().contains("mirror \"ftp://x\""));
    assert!(load("sources = [\"x\"]").unwrap_err().contains("absolute"));
    assert!(load("registry \"x.y\" { username = \"me\" }").unwrap_err().contains("both username and password_file"));
    assert!(load("registri = 1").unwrap_err().contains("registry"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load(&registry("")).unwrap_err().contains("chmod 0600"));
}

#[test]
fn mistakes_are_named() {
    let why = |files: &[(&str, &str)]| format!("{:#}", load(files, |_| {}).unwrap_err());
    assert!(why(&[]).contains("nothing to do"));
    assert!(why(&[("a.hcl", "server { enabled = true }")]).contains("data_dir is missing"));
    let base = "data_dir = \"/a\"\nserver { enabled = true }\n";
    assert!(why(&[("a.hcl", &format!("{base}bind_addr = \"0.0.0.0\""))]).contains("advertise.rpc"));
    assert!(why(&[("a.hcl", &format!("{base}tls {{ http = true }}"))]).contains("not supported yet: tls"));
    assert!(why(&[("a.hcl", &format!("{base}datacentre = \"x\""))]).contains("did you mean datacenter"));
    assert!(why(&[("a.hcl", "server {")]).contains("a.hcl"));
    assert!(why(&[("a.hcl", &format!("{base}client {{ bridge_network_subnet = \"x\" }}"))]).contains("bridge_network_subnet"));
    assert!(why(&[("a.json", r#"{"server": {"enabled": "yes"}}"#)]).contains("server.enabled"));
}

#[test]
fn what_the_agent_cannot_do_is_refused() {
    let why = |client: &str| {
        let text = format!("data_dir = \"/a\"\nserver {{ enabled = true }}\nclient {{\n{client}\n}}");
        format!("{:#}", load(&[("a.hcl", &text)], |_| {}).unwrap_err())
    };
    assert!(why("advertise_ip = \"here\"").contains("client.advertise_ip \"here\": is not an IP address"));
    assert!(why("reserved { reserved_ports = \"22,x\" }").contains("\"x\" is not a port"));
    assert!(why("memory_total_mb = 0").contains("memory_total_mb must be more than 0"));
    assert!(why("min_dynamic_port = 32001").contains("leave no port"));
    assert!(why("cdi_spec_dirs = [\"cdi\"]").contains("\"cdi\" must be an absolute path"));
    assert!(why(&format!("cdi_spec_dirs = {:?}", vec!["/a"; check::MAX_CDI_FOLDERS + 1])).contains("names more than 8 folders"));
    let most =
        format!("data_dir = \"/a\"\nserver {{ enabled = true }}\nclient {{\ncdi_spec_dirs = {:?}\n}}", vec!["/a"; check::MAX_CDI_FOLDERS]);
    load(&[("a.hcl", &most)], |_| {}).unwrap();
    let top = |text: &str| {
        let text = format!("data_dir = \"/a\"\nclient {{\n enabled = true\n servers = [\"a\"]\n}}\n{text}");
        format!("{:#}", load(&[("a.hcl", &text)], |_| {}).unwrap_err())
    };
    assert!(top("plugin \"docker\" {}").contains("not supported yet: plugin \"docker\""));
    assert!(top("server { num_schedulers = 0 }").contains("nothing would ever be placed"));
    assert!(top("server { root_key_rotation_threshold = \"59m\" }").contains("too short: take at least 1h"));
    assert!(top("server { root_key_gc_threshold = \"-1s\" }").contains("root_key_gc_threshold"));
    assert!(top("server { root_key_gc_interval = \"1m\" }").contains("not supported yet: server.root_key_gc_interval"));
    assert!(top("server { raft_multiplier = 0 }").contains("take 1"));
    assert!(top("server { raft_multiplier = 11 }").contains("up to 10"));
    assert!(top("autopilot { last_contact_threshold = \"100ms\" }").contains("every 100ms, so take more"));
    assert!(top("server { raft_multiplier = 5 }\nautopilot { last_contact_threshold = \"200ms\" }").contains("every 500ms"));
    assert!(top("snapshot { retain = 3 }").contains("snapshot is for servers"));
    let snapshot = |text: &str| top(&format!("server {{ enabled = true }}\nsnapshot {{\n{text}\n}}"));
    assert!(snapshot("retain = 3").contains("snapshot.local_storage.path is missing"));
    let local = |text: &str| snapshot(&format!("local_storage {{ path = \"/x\" }}\n{text}"));
    assert!(local("retain = 0").contains("nothing would be kept"));
    assert!(local("interval = \"999ms\"").contains("too short"));
    assert!(local("prefix = \"a/b\"").contains("begins names of files"));
    assert!(local("google_storage { bucket = \"x\" }").contains("not supported yet: snapshot.google_storage"));
    assert!(snapshot("local_storage { path = \"x\" }").contains("must be absolute"));
}

fn with_bucket(text: &str) -> anyhow::Result<AgentConfig> {
    let text = format!("data_dir = \"/a\"\nserver {{ enabled = true }}\nsnapshot {{\n aws_storage {{\n{text}\n}}\n}}");
    load(&[("a.hcl", &text)], |_| {})
}

#[test]
fn a_bucket_is_where_the_configuration_says() {
    let bucket = |text: &str| match with_bucket(text).unwrap().snapshots().unwrap().targets.remove(0) {
        Target::Bucket(bucket) => *bucket,
        other @ Target::Folder(_) => panic!("{other:?}"),
    };
    let amazon = bucket("s3_bucket = \"backups\"\ns3_region = \"eu-central-1\"\ncredentials_file = \"/k\"\ns3_key_prefix = \"floe\"");
    assert_eq!((amazon.endpoint.to_string().as_str(), amazon.path_style), ("https://s3.eu-central-1.amazonaws.com", false));
    assert_eq!((amazon.key_prefix.as_str(), amazon.credentials), ("floe/", CredentialFiles::One("/k".into())));
    let other = bucket(
        "s3_bucket = \"backups\"\ns3_region = \"fsn1\"\ns3_endpoint = \"https://fsn1.your-objectstorage.com\"\naccess_key_id_file = \"/i\"\n\
         secret_access_key_file = \"/s\"",
    );
    assert_eq!((other.endpoint.to_string().as_str(), other.path_style), ("https://fsn1.your-objectstorage.com", true));
    assert_eq!(other.credentials, CredentialFiles::Two { access_key_id: "/i".into(), secret_access_key: "/s".into() });
}

#[test]
fn a_bucket_that_cannot_be_reached_is_refused() {
    let good = [("s3_bucket", "backups"), ("s3_region", "fsn1"), ("credentials_file", "/k")];
    let why = |edit: &[(&str, &str)]| {
        let mut all: BTreeMap<&str, &str> = good.into();
        all.extend(edit.iter().copied());
        let text: String =
            all.iter().filter(|(_, value)| **value != "absent").map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
        format!("{:#}", with_bucket(&text).unwrap_err())
    };
    assert!(why(&[("s3_bucket", "absent")]).contains("s3_bucket is missing"));
    assert!(why(&[("s3_region", "absent")]).contains("s3_region is missing"));
    assert!(why(&[("s3_bucket", "A")]).contains("snapshot.aws_storage: \"A\" is not a name of a bucket"));
    assert!(why(&[("s3_endpoint", "http://10.0.0.1")]).contains("s3_endpoint: \"http://10.0.0.1\" is without TLS"));
    assert!(why(&[("credentials_file", "absent")]).contains("give either credentials_file"));
    assert!(why(&[("access_key_id_file", "/i")]).contains("give either credentials_file"));
    assert!(why(&[("credentials_file", "a/b")]).contains("begin it with /"));
    assert!(why(&[("credentials_file", "s3")]).contains("LoadCredential=s3:FILE"));
    assert!(why(&[("ca_cert", "ca.pem")]).contains("ca_cert \"ca.pem\" must be absolute"));
    let open = why(&[("secret_access_key", "hunter2")]);
    assert!(open.contains("snapshot.aws_storage.secret_access_key_file") && !open.contains("hunter2"), "{open}");
    assert!(why(&[("access_key_id", "AKID")]).contains("snapshot.aws_storage.access_key_id_file"));
    assert!(why(&[("s3_kms_key", "x")]).contains("not supported yet: snapshot.aws_storage.s3_kms_key"));
}

#[test]
fn what_begins_a_cluster_is_checked_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let write = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let load = |expect: u16| {
        let text = format!(
            "data_dir = \"/a\"\nserver {{\n enabled = true\n bootstrap_expect = {expect}\n bootstrap_secret_file = \"{}\"\n}}",
            file.display()
        );
        load(&[("a.hcl", &text)], |_| {})
    };
    let why = |expect: u16| format!("{:#}", load(expect).unwrap_err());
    assert!(load(3).unwrap().bootstrap_secret.is_none(), "a server that has its identity does not need it any more");
    write(&floe_pki::BootstrapSecret::draw().text(), 0o600);
    let (good, most) = (load(2).unwrap(), load(7).unwrap());
    assert!(good.bootstrap_secret.is_some() && (good.bootstrap_expect, most.bootstrap_expect) == (2, 7));
    assert!(why(0).contains("server.bootstrap_expect is 0: give 1 to 7"));
    assert!(why(8).contains("at most 7 servers"));
    assert!(why(1).contains("bootstrap_secret_file") && why(1).contains("bootstrap_expect of 2 or more"));
    let plain = "data_dir = \"/a\"\nserver {\n enabled = true\n bootstrap_expect = 2\n}\ntls {\n rpc = false\n}";
    assert!(super::tests::load(&[("a.hcl", plain)], |_| {}).unwrap_err().to_string().contains("needs TLS"));
    write("\n", 0o600);
    assert!(load(3).unwrap().bootstrap_secret.is_none(), "what a unit has whose secret is gone");
    write("hunter2", 0o600);
    assert!(why(3).contains("this is not a bootstrap secret"), "{}", why(3));
    write(&floe_pki::BootstrapSecret::draw().text(), 0o640);
    assert!(why(3).contains("chmod 0600"));
}

#[test]
fn the_example_has_every_setting_and_its_comments_are_true() {
    const EXAMPLE: &str = include_str!("../../../../../examples/agent.hcl");
    for key in keys(&serde_json::to_value(ConfigFile::default()).unwrap()) {
        assert!(EXAMPLE.lines().any(|l| l.trim_start_matches(['#', ' ']).starts_with(&key)), "examples/agent.hcl does not have {key}");
    }
    load(&[("agent.hcl", EXAMPLE)], |_| {}).unwrap();
    let setting = |l: &str| l.starts_with(|c: char| c.is_ascii_lowercase()) && (l.contains(" = ") || l.ends_with('{')) || l == "}";
    let whole: Vec<&str> = EXAMPLE.lines().map(|l| l.trim_start_matches(['#', ' '])).filter(|l| setting(l)).collect();
    let whole = load(&[("agent.hcl", &whole.join("\n").replace("\"the host's name\"", "\"\""))], |_| {}).unwrap();
    assert_eq!((whole.heartbeat(), whole.keep()), (Timing::default(), Thresholds::default()));
    assert_eq!(whole.snapshots().map(|s| s.schedule), Some(Schedule::default()));
    assert_eq!((whole.network, whole.raw_exec), (NetworkConfig::default(), false));
    assert_eq!((whole.images.pulls.keep, whole.images.host_paths), (floe_client::PullSettings::default().keep, false));
    assert_eq!(whole.images.pulls.sources, floe_client::PullSettings::default().sources);
    assert_eq!((whole.http_port, whole.rpc_port), (floe_api::HTTP_PORT, floe_api::RPC_PORT));
}

/// What the NixOS modules know of the agent's keys. They refuse at evaluation what the agent would refuse on the machine.
#[test]
fn the_nixos_modules_know_the_same_keys() {
    let list: Value = serde_json::from_str(include_str!("../../../../../modules/keys.json")).unwrap();
    let known = serde_json::to_value(ConfigFile::default()).unwrap();
    let mut known: Vec<&String> = known.as_object().unwrap().keys().collect();
    known.sort();
    let mut not_yet = [NOT_YET, KEYS_NOT_YET].concat();
    not_yet.sort_unstable();
    assert_eq!(
        list,
        serde_json::json!({ "known": known, "notYet": not_yet }),
        "bring modules/keys.json in line with ConfigFile and the lists of what is not there yet"
    );
}

/// Every key of a document, however deep.
pub(super) fn keys(value: &Value) -> Vec<String> {
    let Value::Object(map) = value else { return Vec::new() };
    map.iter().flat_map(|(key, value)| std::iter::once(key.clone()).chain(keys(value))).collect()
}

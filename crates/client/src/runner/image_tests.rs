//! The `config` of images, field by field.
#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::json;

fn config(value: Value) -> Result<Config, String> {
    let fields = value.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    Config::read(&fields, &TaskEnv::default())
}

#[test]
fn fields_are_read() {
    let found = config(json!({
        "image": "x", "command": "", "args": ["a"], "entrypoint": ["e"], "work_dir": "w", "readonly_rootfs": true, "shm_size": "1g",
        "ulimit": [{ "nofile": "1:2" }], "sysctl": { "net.core.somaxconn": "5" }, "auth": [{ "username": "u", "password": "p" }],
        "image_pull_timeout": "90s", "force_pull": true, "tmpfs": null,
    }))
    .unwrap();
    assert_eq!((found.run.command, found.run.args, found.run.entrypoint), (None, Some(vec!["a".to_owned()]), Some(vec!["e".to_owned()])));
    assert_eq!((found.shm_bytes, found.pull_timeout, found.force_pull), (Some(1 << 30), Some(Duration::from_secs(90)), true));
    assert_eq!(found.credentials, Some(Credentials { username: "u".to_owned(), password: "p".to_owned() }));
    assert_eq!(found.ulimits.get("nofile").map(String::as_str), Some("1:2"));
    for (bad, why) in [
        (json!({ "shm_size": "64x" }), "config: shm_size: it must be"),
        (json!({ "image_pull_timeout": "soon" }), "config: image_pull_timeout: "),
        (json!({ "auth": { "server_address": "x" } }), "not supported yet: server_address"),
        (json!({ "labels": {} }), "config: labels: not supported yet"),
    ] {
        assert!(config(bad).unwrap_err().contains(why), "{why}");
    }
    assert_eq!(config(json!({ "auth": [] })).unwrap().credentials, None);
}

#[test]
fn sizes_have_units_of_1024() {
    let of = |text: &str| size(&json!(text));
    assert_eq!(
        (of("5"), of("5b"), of("5k"), of("5 M"), of("5gb"), size(&json!(7))),
        (Some(5), Some(5), Some(5 << 10), None, Some(5 << 30), Some(7))
    );
    assert_eq!((of(""), of("m"), of("5mm"), of("99999999999g"), size(&json!(-1))), (None, None, None, None, None));
}

#[test]
fn capabilities_are_dropped_and_kept() {
    let of = |add: &[&str], drop: &[&str]| {
        let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        capabilities(&texts(add), &texts(drop)).map(|c| c.join(" "))
    };
    assert_eq!(of(&[], &[]), Ok(CAPABILITIES.join(" ")));
    assert_eq!(of(&[], &["all"]), Ok(String::new()));
    assert_eq!(of(&["cap_chown", "net_bind_service"], &["ALL"]), Ok("CHOWN".to_owned()));
    assert!(!of(&[], &["CAP_KILL"]).unwrap().contains("KILL"));
    assert!(of(&["sys_admin"], &[]).unwrap_err().contains("\"SYS_ADMIN\""));
}

#[test]
fn the_path_is_the_images_unless_the_job_has_one() {
    let image = ImageConfig {
        env: [("PATH", "/image"), ("A", "image")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..ImageConfig::default()
    };
    let task = |path: &str| {
        let mut env = TaskEnv::default();
        env.extend([("PATH", path), ("A", "task")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        env
    };
    let path = |env: BTreeMap<String, String>| (env.get("PATH").cloned().unwrap(), env.get("A").cloned().unwrap());
    assert_eq!(path(environment(&image, &task(spec::EXEC_PATH), false)), ("/image".to_owned(), "task".to_owned()));
    assert_eq!(path(environment(&image, &task(spec::EXEC_PATH), true)).0, spec::EXEC_PATH);
    assert_eq!(path(environment(&image, &task("/own"), false)).0, "/own");
    assert_eq!(path(environment(&ImageConfig::default(), &task(spec::EXEC_PATH), false)).0, spec::EXEC_PATH);
}

#[test]
fn small_languages_of_other_engines() {
    assert_eq!(tmpfs("/x").unwrap(), Tmpfs { destination: "/x".into(), bytes: None, mode: 0o1777 });
    assert_eq!(tmpfs("/x:size=2m,mode=700").unwrap(), Tmpfs { destination: "/x".into(), bytes: Some(2 << 20), mode: 0o700 });
    assert!(tmpfs("/x:exec").unwrap_err().contains("\"exec\"") && tmpfs("/x:size=0").is_err() && tmpfs("/x:mode=7777").is_err());
    assert_eq!(ulimit("nofile", "5").unwrap(), Ulimit { name: "nofile".to_owned(), soft: 5, hard: 5 });
    assert_eq!(ulimit("nofile", "5:6").unwrap().hard, 6);
    assert!(ulimit("nofile", "many").is_err());
    assert_eq!(hosts(&["db:10.0.0.1".to_owned(), "six:[::1]".to_owned()]).unwrap().unwrap(), "10.0.0.1 db\n::1 six\n");
    assert!(hosts(&["db".to_owned()]).is_err() && hosts(&["a b:10.0.0.1".to_owned()]).is_err());
    assert_eq!(hosts(&[]).unwrap(), None);
    let image = |signal: &str| ImageConfig { stop_signal: signal.to_owned(), ..ImageConfig::default() };
    let named = |name: &str| name.parse::<Signal>().unwrap();
    assert_eq!(stop_signal("SIGUSR1", &image("SIGQUIT")), named("SIGUSR1"));
    assert_eq!(stop_signal("", &image("SIGQUIT")), named("SIGQUIT"));
    assert_eq!(stop_signal("", &image("SIGODD")), named("SIGTERM"));
}

#[test]
fn volumes_are_below_the_tasks_own_folders() {
    let paths = NodePaths::new(Path::new("/d"));
    let alloc = Allocation { id: "a".to_owned().into(), ..Allocation::default() };
    let of = |text: &str, host_paths| {
        let config = Config { volumes: vec![text.to_owned()], ..Config::default() };
        config.binds(&paths, &alloc, "t", host_paths).map(|mut b| b.remove(0))
    };
    let local = of("local/x/y:/in:ro", false).unwrap();
    assert_eq!((local.source, local.below, local.read_only), ("x/y".into(), Some("/d/alloc/a/t/local".into()), true));
    assert_eq!(of("./alloc/data:/in", false).unwrap().below, Some("/d/alloc/a/alloc".into()));
    assert_eq!(of("/srv:/in", true).unwrap().below, None);
    assert!(of("/srv:/in", false).unwrap_err().contains("client.images.host_paths"));
    for bad in ["../x:/in", "x:/in", "local", "local/x:in", "local/x:/in:z", "private/x:/in"] {
        assert!(of(bad, true).is_err(), "{bad}");
    }
}

//! Files rendered for tasks.

use crate::{
    api::{event, id, text},
    job::{batch, service},
    world::world,
};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_template_is_rendered_over_the_tasks_environment() {
    world(|world| {
        let agent = world.start_agent("n1");
        let source = "{{ env \"NOMAD_JOB_NAME\" }} {{ env \"color\" | toUpper }} {{ range split \",\" \"a,b\" }}<{{ . }}>{{ end }}\n";
        let job =
            batch("b", "cat /local/conf/app.txt; cat /secrets/key; stat -c %a /local/conf/app.txt; echo $GREETING; cat /alloc/shared.txt")
                .task(|t| t["Env"] = json!({ "color": "blue" }))
                .template(source, "local/conf/app.txt")
                .template("top secret\n", "secrets/key")
                .template("GREETING=\"good day\"\n", "secrets/env")
                .template("for all\n", "alloc/shared.txt")
                .task(|t| {
                    t["Templates"][0]["Perms"] = json!("604");
                    t["Templates"][2]["Envvars"] = json!(true);
                });
        let alloc = agent.api().run_one(&job);
        agent.api().wait_status(&alloc, "complete");
        let output = agent.api().wait_output(&alloc, "t", "for all");
        assert_eq!(output, "b BLUE <a><b>\ntop secret\n604\ngood day\nfor all\n");
        let secrets = agent.data().join(format!("alloc/{alloc}/t/secrets"));
        assert_eq!(std::fs::metadata(secrets).unwrap().permissions().mode() & 0o777, 0o700);
    });
}

#[test]
fn a_template_that_cannot_be_rendered_fails_the_task_in_words() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exec sleep 10000").template("{{ mustEnv \"NOT_THERE\" }}", "local/x");
        agent.api().submit(&job);
        let failed = agent
            .api()
            .wait("it failed", &job.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").map(id));
        let why = event(&agent.api().alloc(&failed), "t", "Driver Failure");
        assert!(text(&why["DisplayMessage"]).contains("NOT_THERE"), "{why:#}");
    });
}

/// The task puts links in the way of its own template's next life. Whatever becomes of the task, nothing is written where they lead.
fn hostile(driver: &str, trap: &str) {
    world(|world| {
        let agent = world.start_agent("n1");
        let victim = world.dir().join("victim");
        std::fs::create_dir(&victim).unwrap();
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o777)).unwrap();
        let script = format!("cd $NOMAD_TASK_DIR; {}; echo trapped; exit 1", trap.replace("VICTIM", victim.to_str().unwrap()));
        let job = service("s", &script).driver(driver).restarts(1, 1).template("hello\n", "local/sub/file");
        agent.api().submit(&job);
        let failed = agent
            .api()
            .wait("it failed", &job.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").map(id));
        assert!(agent.api().logs(&failed, "t", "stdout").contains("trapped"));
        let found: Vec<_> = std::fs::read_dir(&victim).unwrap().flatten().map(|e| e.path()).collect();
        assert!(found.is_empty(), "a template was written to {found:?}");
    });
}

#[test]
fn a_folder_that_became_a_link_does_not_lead_out() {
    hostile("exec", "mv sub old && ln -s VICTIM sub");
    hostile("raw_exec", "mv sub old && ln -s VICTIM sub");
}

#[test]
fn a_file_that_became_a_link_does_not_lead_out() {
    hostile("exec", "mv sub old && mkdir sub && ln -s VICTIM/file sub/file && ln -s VICTIM/new sub/.file.floe-new");
}

#[test]
fn a_tasks_folder_that_became_a_link_does_not_lead_out() {
    hostile("raw_exec", "cd .. && mv local old && ln -s VICTIM local");
}

#[test]
fn log_files_that_became_links_are_not_followed() {
    world(|world| {
        let agent = world.start_agent("n1");
        let secret = world.file("secret", "do not show\n");
        let script = format!(
            "echo said; sleep 0.3; cd $NOMAD_ALLOC_DIR/logs && rm -f t.stdout.0 && ln -s {} t.stdout.0 && touch ../data/done; exec sleep 10000",
            secret.display()
        );
        let job = service("s", &script).driver("raw_exec");
        let alloc = agent.api().run_one(&job);
        let done = agent.data().join(format!("alloc/{alloc}/alloc/data/done"));
        crate::world::eventually("the trap is set", || done.exists().then_some(()));
        let output = agent.api().logs(&alloc, "t", "stdout");
        assert!(!output.contains("do not show"), "{output}");
    });
}

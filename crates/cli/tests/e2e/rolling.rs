//! Every server is restarted in turn, as for an upgrade and as by a crash, while clients write on all of them and a task runs.
//!
//! That servers of several versions are one cluster on the way is tried where a server can be told to know less: consensus/tests/versions.rs.

use crate::{
    cluster::{leader, members, three_with, wait_voters},
    job::web,
    load::Load,
    world::{eventually, world},
};
use serde_json::json;

#[test]
fn servers_are_restarted_in_turn_under_load() {
    world(|world| {
        // An election takes longer on a busy machine, and so comes only when somebody is gone.
        let servers = three_with(world, |c| c["server"]["raft_multiplier"] = json!(3));
        let client = world.agent("c").client_of(&servers[0]).start();
        let alloc = servers[0].api().run_one(&web("web"));
        let pid = client.task_pid(&alloc, "t");
        let load = Load::default();
        servers.iter().for_each(|server| load.add(server));
        load.during(|| {
            load.wait_taken("before");
            for is_clean in [true, false] {
                // The one that leads comes last, as one does for an upgrade; after a crash it comes first.
                let leads = leader(&servers, &servers[0]).name().to_owned();
                let mut order = servers.clone();
                order.sort_by_key(|server| (server.name() == leads) == is_clean);
                for server in order {
                    load.remove(&server);
                    if is_clean {
                        assert!(server.terminate().success());
                    } else {
                        server.kill();
                    }
                    load.wait_taken(&format!("without {}", server.name()));
                    server.start();
                    load.add(&server);
                    load.wait_taken(&format!("with {} again", server.name()));
                    load.check_so_far(&server);
                    eventually("all are healthy, as is waited for before the next one", || {
                        let healthy = server.api().try_get("/v1/operator/autopilot/health")?;
                        (healthy["Healthy"] == true && healthy["FailureTolerance"] == 1).then_some(())
                    });
                }
            }
        });
        for server in &servers {
            wait_voters(server, &["s1", "s2", "s3"]);
            load.check(server);
        }
        assert_eq!(members(&servers[0]).unwrap().len(), 3);
        assert_eq!(client.task_pid(&alloc, "t"), pid, "the task never noticed");
        client.kill();
        client.start();
        assert_eq!(client.task_pid(&alloc, "t"), pid);
    });
}

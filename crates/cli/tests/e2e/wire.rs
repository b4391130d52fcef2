//! The rules of the HTTP API that real clients rely on, against a real agent.

use crate::{
    api::{id, text},
    http::{Request, Response},
    job::{Job, batch, service, web},
    world::world,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn empty(id: &str) -> Job {
    service(id, "exec sleep 10000").copies(0)
}

fn assert_plain(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status(), status, "{}", response.text());
    assert!(response.header("content-type").is_some_and(|t| t.starts_with("text/plain")), "{:?}", response.head);
    assert!(response.text().contains(words), "{words:?} is not in {:?}", response.text());
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn writes_take_put_and_post_keys_in_any_case_and_unknown_keys() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        for method in ["PUT", "POST"] {
            for path in ["/v1/jobs", "/v1/job/a"] {
                let body = json!({ "Job": empty("a").json() }).to_string();
                let answer = api.send(Request::new(method, path).body(body));
                assert_eq!(answer.status(), 200, "{method} {path}: {}", answer.text());
                assert!(answer.index() > 0 && text(&answer.json()["EvalID"]).len() == 36);
            }
        }
        let lower = json!({ "job": { "id": "lower", "type": "batch", "datacenters": ["*"], "color": "blue", "taskgroups": [{ "name": "g", "count": 0,
            "tasks": [{ "name": "t", "driver": "exec", "config": { "command": "/bin/true" }, "shape": 3 }] }] } });
        let answer = api.put("/v1/jobs", &lower);
        let warnings = text(&answer["Warnings"]);
        assert!(warnings.contains("color") && warnings.contains("shape"), "{answer}");
        assert_eq!(api.get("/v1/job/lower")["TaskGroups"][0]["Tasks"][0]["Driver"], "exec");
        assert_plain(
            &api.send(Request::new("PUT", "/v1/job/other").body(json!({ "Job": empty("a").json() }).to_string())),
            400,
            "does not match",
        );
    });
}

#[test]
fn errors_are_plain_text_with_the_words_that_clients_match() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        let get = |path: &str| api.send(Request::get(path));
        let put = |path: &str, body: &str| api.send(Request::new("PUT", path).body(body));
        assert_plain(&get("/v1/job/none"), 404, "job not found");
        assert_plain(&get("/v1/allocation/00000000-0000-0000-0000-000000000000"), 404, "alloc not found");
        assert_plain(&get("/v1/evaluation/00000000-0000-0000-0000-000000000000"), 404, "eval not found");
        assert_plain(&get("/v1/node/00000000-0000-0000-0000-000000000000"), 404, "node not found");
        assert_plain(&get("/v1/deployment/00000000-0000-0000-0000-000000000000"), 404, "deployment not found");
        assert_plain(&get("/v1/nonsense"), 404, "/v1/nonsense");
        assert_plain(&get("/"), 404, "/");
        assert_plain(&get("/v1/volumes"), 501, "not supported yet");
        assert_plain(&put("/v1/nodes", "{}"), 405, "not allowed");
        assert_plain(&api.send(Request::new("PATCH", "/v1/jobs").body("{}")), 405, "not allowed");
        for (body, words) in
            [("{", "EOF"), ("", "EOF"), ("{\"Job\": 5}", "Job"), ("[]", "object"), ("{}", "Job must be specified"), ("\u{fffd}", "")]
        {
            assert_plain(&put("/v1/jobs", body), 400, words);
        }
        assert_plain(&api.send(Request::new("PUT", "/v1/jobs").body(vec![0xff, 0xfe, 0x00])), 400, "");
        assert_plain(&put("/v1/jobs", &"[".repeat(200_000)), 400, "");
        assert_plain(&put("/v1/jobs", &format!("{{\"Job\":{}1{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000))), 400, "");
        for bad in [
            "/v1/jobs?stale=maybe",
            "/v1/jobs?pretty=maybe",
            "/v1/jobs?index=x",
            "/v1/jobs?wait=5",
            "/v1/jobs?per_page=x",
            "/v1/jobs?reverse=2",
        ] {
            assert_plain(&get(bad), 400, "invalid query parameter");
        }
        let checked = json!({ "Job": empty("a").json(), "EnforceIndex": true, "JobModifyIndex": 99 });
        let refused = put("/v1/jobs", &checked.to_string());
        assert!(refused.status() >= 400 && refused.text().contains("job modify index"), "{}", refused.text());
    });
}

#[test]
fn bodies_and_heads_have_bounds() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        let put = |path: &str, bytes: usize| api.send(Request::new("PUT", path).body(vec![b' '; bytes]));
        assert_plain(&put("/v1/jobs", (4 << 20) + 1), 413, "4194304");
        assert_plain(&put("/v1/jobs", 4 << 20), 400, "");
        assert_plain(&put("/v1/allocation/x/stop", (1 << 20) + 1), 413, "1048576");
        // A length that is a lie: the server does not reserve what it was told.
        let mut stream = TcpStream::connect(agent.http()).unwrap();
        write!(stream, "PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        let long = api.send(Request::get("/v1/jobs").header("X-Long", &"x".repeat(400_000)));
        assert_eq!(long.status(), 431);
        let query = api.send(Request::get(&format!("/v1/jobs?prefix={}", "x".repeat(9_000))));
        assert_eq!(query.status(), 400);
        // After all that it still works.
        assert_eq!(api.get("/v1/jobs"), json!([]));
    });
}

#[test]
fn nonsense_on_the_wire_ends_that_connection_and_nothing_else() {
    world(|world| {
        let agent = world.start_agent("n1");
        let junk: [&[u8]; 5] =
            [b"\x16\x03\x01\x02\x00\x01", b"GET", b"\r\n\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff", &[0; 4096]];
        for port in [agent.http().port(), agent.http().port() + 1] {
            for bytes in junk {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(bytes).unwrap();
                let _ = stream.shutdown(std::net::Shutdown::Write);
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }
        for path in ["/rpc/v1/node/register", "/rpc/v1/join", "/v1/jobs"] {
            let answer = Request::new("POST", path).body(vec![0xc1; 64]).send((agent.http().ip(), agent.http().port() + 1).into());
            assert!(answer.is_err(), "{path}: the RPC port does not speak in the clear");
        }
        assert_eq!(agent.api().get("/v1/jobs"), json!([]));
    });
}

#[test]
fn reads_carry_headers_and_empty_lists_are_lists() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        for path in ["/v1/jobs", "/v1/allocations", "/v1/evaluations", "/v1/deployments", "/v1/services", "/v1/service/none"] {
            let answer = api.send(Request::get(path));
            assert_eq!((answer.status(), answer.text().trim()), (200, "[]"), "{path}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert!(answer.index() >= 1, "{path}");
            assert_eq!(answer.header("x-nomad-knownleader"), Some("true"));
            // The leader itself has heard of the leader just now.
            assert_eq!(answer.header("x-nomad-lastcontact"), Some("0"), "{path}");
        }
        api.submit(&empty("a"));
        for path in ["/v1/job/a/allocations", "/v1/job/a/services"] {
            assert_eq!(api.get(path), json!([]), "{path}");
        }
        let answer = api.send(Request::get("/v1/jobs?pretty"));
        assert!(answer.text().contains("\n  "), "{}", answer.text());
        let head = api.send(Request::new("HEAD", "/v1/jobs"));
        assert_eq!((head.status(), head.body.len()), (200, 0));
        assert!(head.index() >= 1);
        for header in [("X-Nomad-Token", "secret"), ("Authorization", "Bearer secret")] {
            assert_eq!(api.send(Request::get("/v1/jobs").header(header.0, header.1)).status(), 200);
        }
        let zipped = api.send(Request::get("/v1/nodes").header("Accept-Encoding", "gzip"));
        assert_eq!(zipped.header("content-encoding"), Some("gzip"));
        let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        gzip.stdin.take().unwrap().write_all(&zipped.body).unwrap();
        let plain: Value = serde_json::from_slice(&gzip.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(plain[0]["Name"], "n1");
    });
}

#[test]
fn a_read_with_an_index_waits_for_something_newer() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        api.submit(&empty("a"));
        let index = api.wait_quiet("/v1/jobs");
        let began = Instant::now();
        let answer = api.send(Request::get(&format!("/v1/jobs?index={index}&wait=800ms")));
        let waited = began.elapsed();
        assert!((Duration::from_millis(800)..Duration::from_millis(2_500)).contains(&waited), "it waited {waited:?}");
        assert_eq!(answer.index(), index);
        let later = std::thread::spawn(move || {
            let began = Instant::now();
            let answer = api.send(Request::get(&format!("/v1/jobs?index={index}&wait=60s")));
            (answer.index(), answer.json(), began.elapsed())
        });
        crate::world::eventually("the reader waits", || (!later.is_finished()).then_some(()));
        api.submit(&empty("b"));
        let (newer, jobs, waited) = later.join().unwrap();
        assert!(newer > index && waited < Duration::from_secs(20), "{newer} after {waited:?}");
        assert_eq!(ids(&jobs), ["a", "b"]);
        // An index that this cluster never came to is answered all the same.
        assert_eq!(api.send(Request::get("/v1/jobs?index=1000000&wait=100ms")).status(), 200);
        // A reader that waits does not keep the agent from stopping.
        let waiting = std::thread::spawn(move || Request::get("/v1/jobs?index=1000000&wait=60s").send("127.0.0.1:4646".parse().unwrap()));
        crate::world::eventually("the reader waits", || (!waiting.is_finished()).then_some(()));
        let began = Instant::now();
        assert!(agent.terminate().success());
        assert!(began.elapsed() < Duration::from_secs(15));
        let _ = waiting.join().unwrap();
    });
}

#[test]
fn lists_are_cut_sorted_and_searched() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        let names = ["a-1", "a-2", "a-3", "b-1", "b-2", "c"];
        names.iter().for_each(|n| drop(api.submit(&empty(n))));
        assert_eq!(ids(&api.get("/v1/jobs")), names);
        assert_eq!(ids(&api.get("/v1/jobs?prefix=a-")), ["a-1", "a-2", "a-3"]);
        assert_eq!(ids(&api.get("/v1/jobs?namespace=*&prefix=b")), ["b-1", "b-2"]);
        assert_eq!(api.get("/v1/jobs?namespace=other"), json!([]));
        let mut backwards = names;
        backwards.reverse();
        assert_eq!(ids(&api.get("/v1/jobs?reverse=true")), backwards);
        for (extra, want) in [("", names), ("&reverse=true", backwards)] {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let answer = api.send(Request::get(&format!("/v1/jobs?per_page=2{extra}&next_token={token}")));
                let page = ids(&answer.json());
                assert!(page.len() <= 2);
                seen.extend(page);
                match answer.header("x-nomad-nexttoken") {
                    Some(next) => token = next.to_owned(),
                    None => break,
                }
            }
            assert_eq!(seen, want, "{extra}");
        }
    });
}

#[test]
fn ids_of_jobs_may_hold_slashes_and_spaces() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        for (job, paths) in [("a/b", ["/v1/job/a/b", "/v1/job/a%2Fb"]), ("ä+ö", ["/v1/job/%C3%A4+%C3%B6", "/v1/job/%C3%A4%2B%C3%B6"])] {
            let job = service(job, "exec sleep 10000");
            let alloc = api.run_one(&job);
            for path in paths {
                assert_eq!(api.get(path)["ID"], job.id(), "{path}");
                assert_eq!(api.get(&format!("{path}/allocations"))[0]["ID"], alloc.as_str());
                assert_eq!(api.get(&format!("{path}/summary"))["JobID"], job.id());
            }
            assert!(world.floe(&["job", "status", job.id()]).ok().contains(job.id()));
            world.floe(&["job", "stop", job.id()]).ok();
            api.wait_status(&alloc, "complete");
        }
    });
}

#[test]
fn the_agent_tells_who_and_how_it_is() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        let rpc = format!("127.0.0.1:{}", agent.http().port() + 1);
        assert_eq!(api.get("/v1/status/leader"), json!(rpc));
        assert_eq!(api.get("/v1/status/peers"), json!([rpc]));
        assert_eq!(api.get("/v1/regions"), json!(["global"]));
        let members = api.get("/v1/agent/members");
        assert_eq!((&members["Members"][0]["Status"], &members["Members"][0]["Name"]), (&json!("alive"), &json!("n1.global")));
        let about = api.get("/v1/agent/self");
        assert_eq!((&about["config"]["Region"], &about["config"]["Server"]["Enabled"]), (&json!("global"), &json!(true)), "{about:#}");
        assert_eq!(about["member"]["Name"], "n1.global");
        let health = api.get("/v1/agent/health");
        assert_eq!((&health["server"]["ok"], &health["client"]["ok"]), (&json!(true), &json!(true)));
        for probe in ["/livez", "/readyz", "/healthz"] {
            assert_eq!(api.send(Request::get(probe)).status(), 200, "{probe}");
        }
    });
}

#[test]
fn metrics_are_in_prometheus_form() {
    world(|world| {
        let agent = world.start_agent("n1");
        agent.api().run_one(&service("s", "exec sleep 10000"));
        let answer = agent.api().send(Request::get("/v1/metrics?format=prometheus"));
        assert_eq!(answer.status(), 200);
        assert!(answer.header("content-type").is_some_and(|t| t.starts_with("text/plain")));
        let mut values = std::collections::BTreeMap::new();
        for line in answer.text().lines().filter(|l| !l.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line:?}"));
            let name = name.split('{').next().unwrap();
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'), "{line}");
            values.insert(name.to_owned(), value.parse::<f64>().unwrap_or_else(|e| panic!("{e}: {line:?}")));
        }
        assert_eq!(values.get("nomad_client_allocations_running"), Some(&1.0), "{values:?}");
        assert_eq!(values.get("nomad_nomad_job_status_running"), Some(&1.0), "{values:?}");
        assert_eq!(values.get("nomad_nomad_heartbeat_active"), Some(&1.0), "{values:?}");
        assert_eq!(values.get("nomad_client_allocated_memory"), Some(&32.0), "{values:?}");
        for name in ["nomad_client_uptime", "nomad_client_unallocated_cpu", "nomad_raft_appliedIndex", "nomad_nomad_broker_total_ready"] {
            assert!(values.contains_key(name), "{name} is missing");
        }
        assert_plain(&agent.api().send(Request::get("/v1/metrics")), 400, "format=prometheus");
    });
}

#[test]
fn output_comes_in_frames_or_plain_and_can_be_followed() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        let alloc = api.run_one(&batch("b", "printf 'one\\ntwo\\n'; while [ ! -e /local/go ]; do sleep 0.02; done; printf 'three\\n'"));
        api.wait_output(&alloc, "t", "two\n");
        let path = format!("/v1/client/fs/logs/{alloc}?task=t&type=stdout");
        let plain = |extra: &str| api.send(Request::get(&format!("{path}&plain=true{extra}"))).text();
        assert_eq!(plain(""), "one\ntwo\n");
        assert_eq!(plain("&offset=4"), "two\n");
        assert_eq!(plain("&origin=end&offset=3"), "wo\n");
        assert_eq!(plain("&origin=end&offset=9999"), "one\ntwo\n");
        assert_eq!(plain("&offset=9999"), "");
        let framed = api.send(Request::get(&path));
        let frame: Value = serde_json::from_slice(&framed.body).unwrap_or_else(|e| panic!("{e} in {}", framed.text()));
        assert_eq!(frame["Data"], "b25lCnR3bwo=");
        assert!(text(&frame["File"]).contains("t.stdout.0"), "{frame}");
        assert_plain(&api.send(Request::get(&format!("/v1/client/fs/logs/{alloc}?type=stdout"))), 400, "task");
        assert_plain(&api.send(Request::get(&format!("/v1/client/fs/logs/{alloc}?task=none"))), 404, "none");
        assert_plain(&api.send(Request::get(&format!("/v1/client/fs/logs/{alloc}?task=t&type=x"))), 400, "stdout or stderr");
        assert_plain(&api.send(Request::get("/v1/client/fs/logs/nothing?task=t")), 404, "alloc not found");
        let (head, mut body) = Request::get(&format!("{path}&plain=true&follow=true")).open(agent.http()).unwrap();
        assert_eq!(head.status, 200);
        let mut first = [0; 8];
        body.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"one\ntwo\n");
        std::fs::write(agent.data().join(format!("alloc/{alloc}/t/local/go")), "").unwrap();
        let mut rest = String::new();
        // It ends when the task has ended.
        body.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "three\n");
    });
}

#[test]
fn text_is_parsed_and_checked_for_clients() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        let hcl = "variable \"n\" { default = 2 }\njob \"parsed\" {\n group \"g\" {\n count = var.n\n task \"t\" {\n driver = \"exec\"\n config { command = \"/bin/true\" }\n }\n }\n}";
        let parsed = api.put("/v1/jobs/parse", &json!({ "JobHCL": hcl, "Canonicalize": true, "Variables": "n = 5" }));
        assert_eq!((&parsed["ID"], &parsed["TaskGroups"][0]["Count"], &parsed["Type"]), (&json!("parsed"), &json!(5), &json!("service")));
        let bad = api.send(Request::new("PUT", "/v1/jobs/parse").body(json!({ "JobHCL": "job \"x\" {\n  nonsense = 1\n}" }).to_string()));
        assert_plain(&bad, 400, "nonsense");
        assert!(bad.text().contains("2"), "{}", bad.text());
        let file = api.send(
            Request::new("PUT", "/v1/jobs/parse").body(json!({ "JobHCL": "job \"x\" { name = file(\"/etc/passwd\") }" }).to_string()),
        );
        assert_eq!(file.status(), 400);
        assert!(!file.text().contains("root:"), "{}", file.text());
        let valid = api.put("/v1/validate/job", &json!({ "Job": web("w").json() }));
        assert_eq!((&valid["Error"], &valid["ValidationErrors"]), (&json!(""), &json!([])), "{valid}");
        let invalid = api.put("/v1/validate/job", &json!({ "Job": web("w").set(|j| j["Priority"] = json!(5000)).json() }));
        assert!(text(&invalid["Error"]).contains("priority"), "{invalid}");
        assert_plain(&api.send(Request::new("PUT", "/v1/validate/job").body("{}")), 400, "Job must be specified");
    });
}

//! Jobs in few words, as the API takes them.

use serde_json::{Value, json};

/// A job that can be changed and submitted again. Without further words it is a service with one group "g" and one task "t".
#[derive(Clone, Debug)]
pub(crate) struct Job(Value);

/// A service whose task runs a shell script in a container.
pub(crate) fn service(id: &str, script: &str) -> Job {
    Job(json!({
        "ID": id,
        "Name": id,
        "Type": "service",
        "Datacenters": ["*"],
        "TaskGroups": [{
            "Name": "g",
            "Count": 1,
            "EphemeralDisk": { "SizeMB": 10 },
            "RestartPolicy": { "Attempts": 0, "Mode": "fail", "Interval": seconds(60), "Delay": 1_000_000 },
            "ReschedulePolicy": { "Attempts": 0, "Unlimited": false },
            "Tasks": [{
                "Name": "t",
                "Driver": "exec",
                "Config": { "command": "/bin/sh", "args": ["-c", script] },
                "LogConfig": { "MaxFiles": 2, "MaxFileSizeMB": 1 },
                "KillTimeout": seconds(5),
                "Resources": { "CPU": 20, "MemoryMB": 32 },
            }],
        }],
    }))
    .set(|j| {
        let fast =
            json!({ "MaxParallel": 1, "MinHealthyTime": 100_000_000, "HealthyDeadline": seconds(60), "ProgressDeadline": seconds(90) });
        j["Update"] = fast;
    })
}

/// A service that serves a page with its allocation's id on port `http` of its own network.
pub(crate) fn web(id: &str) -> Job {
    let script = "mkdir -p /local/www && echo \"$NOMAD_ALLOC_ID\" >/local/www/index.html && exec busybox httpd -f -p \"$NOMAD_PORT_http\" -h /local/www";
    service(id, script).network("bridge").dynamic_port("http", 8080)
}

/// A batch job whose task runs a shell script in a container.
pub(crate) fn batch(id: &str, script: &str) -> Job {
    service(id, script).kind("batch")
}

/// Seconds as the API counts time.
pub(crate) fn seconds(n: u64) -> u64 {
    n * 1_000_000_000
}

impl Job {
    /// Changes anything.
    pub(crate) fn set(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.0);
        self
    }
    /// Changes the group.
    pub(crate) fn group(self, change: impl FnOnce(&mut Value)) -> Self {
        self.set(|j| change(&mut j["TaskGroups"][0]))
    }
    /// Changes the task.
    pub(crate) fn task(self, change: impl FnOnce(&mut Value)) -> Self {
        self.group(|g| change(&mut g["Tasks"][0]))
    }

    pub(crate) fn kind(self, kind: &str) -> Self {
        self.set(|j| {
            j["Type"] = json!(kind);
            if kind != "service" {
                j.as_object_mut().unwrap().remove("Update");
            }
            if kind.starts_with("sys") {
                j["TaskGroups"][0].as_object_mut().unwrap().remove("ReschedulePolicy");
            }
        })
    }
    pub(crate) fn copies(self, count: usize) -> Self {
        self.group(|g| g["Count"] = json!(count))
    }
    pub(crate) fn script(self, script: &str) -> Self {
        self.task(|t| t["Config"]["args"] = json!(["-c", script]))
    }
    pub(crate) fn driver(self, driver: &str) -> Self {
        self.task(|t| t["Driver"] = json!(driver))
    }
    pub(crate) fn network(self, mode: &str) -> Self {
        self.group(|g| g["Networks"] = json!([{ "Mode": mode }]))
    }
    /// A port of the range for dynamic ports; `to` is the one inside, or 0 for the same.
    pub(crate) fn dynamic_port(self, label: &str, to: u16) -> Self {
        self.port("DynamicPorts", json!({ "Label": label, "To": to }))
    }
    pub(crate) fn static_port(self, label: &str, value: u16, to: u16) -> Self {
        self.port("ReservedPorts", json!({ "Label": label, "Value": value, "To": to }))
    }
    fn port(self, kind: &str, port: Value) -> Self {
        self.group(|g| {
            let ports = &mut g["Networks"][0][kind];
            match ports.as_array_mut() {
                Some(ports) => ports.push(port),
                None => *ports = json!([port]),
            }
        })
    }
    /// Announces port `http` as a service with these tags.
    pub(crate) fn announced(self, name: &str, tags: &[&str]) -> Self {
        self.group(|g| g["Services"] = json!([{ "Name": name, "Provider": "nomad", "PortLabel": "http", "Tags": tags }]))
    }
    /// How often and how fast a task that ended is started again before the policy's `mode` counts.
    pub(crate) fn restarts(self, attempts: u64, delay_ms: u64) -> Self {
        self.group(|g| {
            g["RestartPolicy"] = json!({ "Attempts": attempts, "Delay": delay_ms * 1_000_000, "Interval": seconds(600), "Mode": "fail" });
        })
    }
    pub(crate) fn template(self, source: &str, destination: &str) -> Self {
        self.task(|t| {
            let template = json!({ "EmbeddedTmpl": source, "DestPath": destination, "ChangeMode": "noop" });
            match t["Templates"].as_array_mut() {
                Some(templates) => templates.push(template),
                None => t["Templates"] = json!([template]),
            }
        })
    }

    pub(crate) fn json(&self) -> &Value {
        &self.0
    }
    pub(crate) fn id(&self) -> &str {
        self.0["ID"].as_str().unwrap()
    }
    /// How many allocations it wants.
    pub(crate) fn count(&self) -> usize {
        let counts = self.0["TaskGroups"].as_array().unwrap().iter().map(|g| g["Count"].as_u64().unwrap_or(1));
        usize::try_from(counts.sum::<u64>()).unwrap()
    }
    /// A path of the API that belongs to it.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/job/{}{rest}", self.id().replace('/', "%2F"))
    }
}

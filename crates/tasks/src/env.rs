//! What a task is told: its environment, and the values that `${...}` in its configuration stands for.
//!
//! Later entries win: the cluster's own variables, then `meta`, then the job's `env`, then templates with `env = true`.

use floe_model::{
    Allocation, Job, Node, StringMap, Task, TaskGroup, canonical,
    network::{NetworkMode, PortMapping},
    resources::AllocatedTaskResources,
};

/// How long an interpolated text may become, so that a reference to a reference cannot blow up.
pub const MAX_INTERPOLATED_BYTES: usize = 256 * 1024;

/// Where the task sees its folders: inside a container these are `/alloc`, `/local` and `/secrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// The folder that the tasks of the allocation share.
    pub alloc: String,
    /// The task's own folder.
    pub local: String,
    /// The task's secrets.
    pub secrets: String,
}

/// Everything that an environment is made of.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The node that it runs on.
    pub node: &'a Node,
    /// The allocation, with its job.
    pub alloc: &'a Allocation,
    /// The job of the allocation.
    pub job: &'a Job,
    /// The group.
    pub group: &'a TaskGroup,
    /// The task.
    pub task: &'a Task,
    /// The region of the cluster.
    pub region: &'a str,
    /// The search path that the driver gives.
    pub path: &'a str,
}

/// A task's environment, and what `${...}` stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskEnv {
    vars: StringMap,
    node: StringMap,
}

/// Characters outside of `[A-Za-z0-9_]` become `_`.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

impl TaskEnv {
    /// The environment of a task.
    pub fn new(source: Source<'_>, paths: &Paths) -> Self {
        let mut env = TaskEnv { vars: StringMap::new(), node: node_values(source.node, source.region) };
        env.identity(source);
        env.folders(paths);
        env.limits(source);
        env.ports(source);
        for (key, value) in canonical::combined_meta(source.job, source.group, source.task) {
            let value = env.interpolate(&value);
            env.vars.insert(format!("NOMAD_META_{}", clean(&key)), value.clone());
            env.vars.insert(format!("NOMAD_META_{}", clean(&key).to_uppercase()), value);
        }
        env.set("PATH", source.path);
        for (key, value) in &source.task.env {
            let value = env.interpolate(value);
            env.vars.insert(key.clone(), value);
        }
        env
    }

    fn set(&mut self, key: &str, value: impl Into<String>) {
        self.vars.insert(key.to_owned(), value.into());
    }

    fn identity(&mut self, s: Source<'_>) {
        self.set("NOMAD_ALLOC_ID", s.alloc.id.as_str());
        self.set("NOMAD_SHORT_ALLOC_ID", s.alloc.id.short());
        self.set("NOMAD_ALLOC_NAME", s.alloc.name.as_str());
        self.set("NOMAD_ALLOC_INDEX", s.alloc.index().unwrap_or(0).to_string());
        self.set("NOMAD_TASK_NAME", s.task.name.as_str());
        self.set("NOMAD_GROUP_NAME", s.group.name.as_str());
        self.set("NOMAD_JOB_ID", s.job.id.as_str());
        self.set("NOMAD_JOB_NAME", s.job.name.as_str());
        if !s.job.parent_id.is_empty() {
            self.set("NOMAD_JOB_PARENT_ID", s.job.parent_id.as_str());
        }
        self.set("NOMAD_DC", s.node.datacenter.as_str());
        self.set("NOMAD_REGION", s.region);
        self.set("NOMAD_NAMESPACE", s.alloc.namespace.as_str());
    }

    fn folders(&mut self, paths: &Paths) {
        self.set("NOMAD_ALLOC_DIR", paths.alloc.as_str());
        self.set("NOMAD_TASK_DIR", paths.local.as_str());
        self.set("NOMAD_SECRETS_DIR", paths.secrets.as_str());
    }

    fn limits(&mut self, s: Source<'_>) {
        let none = AllocatedTaskResources::default();
        let held = s.alloc.allocated_resources.tasks.get(&s.task.name).unwrap_or(&none);
        self.set("NOMAD_CPU_LIMIT", held.cpu.cpu_shares.to_string());
        self.set("NOMAD_MEMORY_LIMIT", held.memory.memory_mb.to_string());
        if held.memory.memory_max_mb > 0 {
            self.set("NOMAD_MEMORY_MAX_LIMIT", held.memory.memory_max_mb.to_string());
        }
        if !s.node.cgroup_parent.is_empty() {
            self.set("NOMAD_PARENT_CGROUP", s.node.cgroup_parent.as_str());
        }
    }

    fn ports(&mut self, s: Source<'_>) {
        let bridged = s.group.network().is_some_and(|n| !matches!(n.network_mode(), NetworkMode::Host));
        let inside_address = s.alloc.network_status.as_ref().map(|n| n.address.clone()).unwrap_or_default();
        let interface = s.alloc.network_status.as_ref().map(|n| n.interface_name.clone()).unwrap_or_default();
        for port in &s.alloc.allocated_resources.shared.ports {
            let label = clean(&port.label);
            let inside = inside_port(port, bridged);
            let address = if bridged { inside_address.as_str() } else { port.host_ip.as_str() };
            self.endpoint(&format!("NOMAD_{{}}_{label}"), address, inside);
            self.endpoint(&format!("NOMAD_HOST_{{}}_{label}"), &port.host_ip, port.value);
            let family = if address.contains(':') { "IPv6" } else { "IPv4" };
            self.set(&format!("NOMAD_{family}_{label}"), address);
            if bridged {
                self.endpoint(&format!("NOMAD_ALLOC_{{}}_{label}"), address, inside);
                self.set(&format!("NOMAD_ALLOC_INTERFACE_{label}"), interface.as_str());
            }
        }
    }

    fn endpoint(&mut self, pattern: &str, address: &str, port: i64) {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        self.set(&pattern.replace("{}", "IP"), address);
        self.set(&pattern.replace("{}", "PORT"), port.to_string());
        self.set(&pattern.replace("{}", "ADDR"), format!("{host}:{port}"));
    }

    /// Adds variables that a template gave; they win over all others.
    pub fn extend(&mut self, vars: impl IntoIterator<Item = (String, String)>) {
        self.vars.extend(vars);
    }

    /// The variables, in order of name.
    pub fn vars(&self) -> &StringMap {
        &self.vars
    }

    /// What `name` stands for: a variable, or `node.*`, `attr.*`, `meta.*` of the node.
    pub fn lookup(&self, name: &str) -> Option<&str> {
        let name = name.trim();
        if let Some(key) = name.strip_prefix("env[").and_then(|n| n.strip_suffix(']')) {
            return self.vars.get(key.trim_matches('"')).map(String::as_str);
        }
        self.vars.get(name).or_else(|| self.node.get(name)).map(String::as_str)
    }

    /// Replaces each `${name}` by what it stands for; one that is unknown stays as it is. The result of a replacement is not looked at
    /// again, and what is longer than [`MAX_INTERPOLATED_BYTES`] is returned without further replacements.
    pub fn interpolate(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, tail) = rest.split_at(start);
            out.push_str(before);
            let body = tail.strip_prefix("${").unwrap_or("");
            let end = body.find('}');
            let value = end.and_then(|end| body.get(..end)).and_then(|name| self.lookup(name));
            match (end, value) {
                (Some(end), Some(value)) if out.len() + value.len() <= MAX_INTERPOLATED_BYTES => {
                    out.push_str(value);
                    rest = body.get(end + 1..).unwrap_or("");
                }
                _ => {
                    out.push_str("${");
                    rest = body;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// The port to bind: what `to` says, or the host's number.
fn inside_port(port: &PortMapping, bridged: bool) -> i64 {
    if bridged && port.to > 0 { port.to } else { port.value }
}

fn node_values(node: &Node, region: &str) -> StringMap {
    let mut values = StringMap::new();
    for (key, value) in [
        ("node.unique.id", node.id.as_str()),
        ("node.unique.name", &node.name),
        ("node.datacenter", &node.datacenter),
        ("node.region", region),
        ("node.class", &node.node_class),
        ("node.pool", &node.node_pool),
    ] {
        values.insert(key.to_owned(), value.to_owned());
    }
    values.extend(node.attributes.iter().map(|(k, v)| (format!("attr.{k}"), v.clone())));
    values.extend(node.meta.iter().map(|(k, v)| (format!("meta.{k}"), v.clone())));
    values
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use floe_model::{alloc::AllocNetworkStatus, network::NetworkResource};

    fn env(mode: &str) -> TaskEnv {
        let task = Task {
            name: "server".to_owned(),
            env: [(
                "GREETING".to_owned(),
                "hi from ${node.unique.name} on ${NOMAD_PORT_web_ui}, ${attr.kernel.name} ${unknown}".to_owned(),
            )]
            .into(),
            meta: [("team-name".to_owned(), "blue".to_owned())].into(),
            ..Task::default()
        };
        let network = NetworkResource { mode: mode.to_owned(), ..NetworkResource::default() };
        let group = TaskGroup { name: "web".to_owned(), tasks: vec![task.clone()], networks: vec![network], ..TaskGroup::default() };
        let job = Job { id: "a/b".into(), name: "b".to_owned(), task_groups: vec![group.clone()], ..Job::default() };
        let mut alloc =
            Allocation { id: "0123456789ab".into(), name: "a/b.web[3]".to_owned(), namespace: "default".into(), ..Allocation::default() };
        alloc.allocated_resources.shared.ports =
            vec![PortMapping { label: "web-ui".to_owned(), value: 20_001, to: 80, host_ip: "10.0.0.1".to_owned() }];
        alloc.network_status = Some(AllocNetworkStatus {
            interface_name: "eth0".to_owned(),
            address: "172.26.64.2".to_owned(),
            ..AllocNetworkStatus::default()
        });
        let mut node = Node { name: "n1".to_owned(), datacenter: "dc1".to_owned(), ..Node::default() };
        node.attributes.insert("kernel.name".to_owned(), "linux".to_owned());
        let source = Source { node: &node, alloc: &alloc, job: &job, group: &group, task: &task, region: "global", path: "/bin" };
        let paths = Paths { alloc: "/alloc".to_owned(), local: "/local".to_owned(), secrets: "/secrets".to_owned() };
        TaskEnv::new(source, &paths)
    }

    #[test]
    fn a_bridged_task_is_told_both_sides_of_its_ports() {
        let e = env("bridge");
        let get = |k: &str| e.vars()[k].as_str();
        assert_eq!((get("NOMAD_IP_web_ui"), get("NOMAD_PORT_web_ui"), get("NOMAD_ADDR_web_ui")), ("172.26.64.2", "80", "172.26.64.2:80"));
        assert_eq!(get("NOMAD_HOST_ADDR_web_ui"), "10.0.0.1:20001");
        assert_eq!((get("NOMAD_ALLOC_INTERFACE_web_ui"), get("NOMAD_IPv4_web_ui")), ("eth0", "172.26.64.2"));
        assert_eq!((get("NOMAD_ALLOC_INDEX"), get("NOMAD_SHORT_ALLOC_ID"), get("NOMAD_JOB_ID")), ("3", "01234567", "a/b"));
        assert_eq!((get("NOMAD_META_team_name"), get("NOMAD_META_TEAM_NAME")), ("blue", "blue"));
        assert_eq!(get("GREETING"), "hi from n1 on 80, linux ${unknown}");
    }

    #[test]
    fn a_task_in_the_hosts_network_binds_the_hosts_port() {
        let e = env("host");
        assert_eq!(e.vars()["NOMAD_ADDR_web_ui"], "10.0.0.1:20001");
        assert!(!e.vars().contains_key("NOMAD_ALLOC_ADDR_web_ui"));
    }

    #[test]
    fn interpolation_is_literal_where_nothing_is_known_and_does_not_repeat() {
        let mut e = env("host");
        e.extend([("SELF".to_owned(), "${SELF}".to_owned()), ("BIG".to_owned(), "x".repeat(MAX_INTERPOLATED_BYTES))]);
        assert_eq!(e.interpolate("a ${SELF} ${"), "a ${SELF} ${");
        assert_eq!(e.interpolate("${env[\"GREETING\"]}").len(), e.vars()["GREETING"].len());
        assert_eq!(e.interpolate("${BIG}").len(), MAX_INTERPOLATED_BYTES);
        assert_eq!(e.interpolate("${BIG}${NOMAD_DC}").len(), MAX_INTERPOLATED_BYTES + "${NOMAD_DC}".len());
    }
}

//! What a group asks of its node, and what it is given.

use floe_model::{
    Node, Task, TaskGroup,
    resources::{
        AllocatedCpuResources, AllocatedMemoryResources, AllocatedResources, AllocatedSharedResources, AllocatedTaskResources, Amounts,
        DEFAULT_CPU_MHZ, DEFAULT_MEMORY_MB,
    },
};

/// What one allocation of `group` takes from a node.
pub(crate) fn amounts(group: &TaskGroup) -> Amounts {
    let disk = Amounts { disk_mb: group.disk_mb(), ..Amounts::default() };
    group.tasks.iter().fold(disk, |sum, task| sum.plus(Amounts { cpu_mhz: cpu_mhz(task), memory_mb: memory_mb(task), disk_mb: 0 }))
}

/// What an allocation of `group` holds on `node`, without its ports.
pub(crate) fn resources(group: &TaskGroup, node: &Node) -> AllocatedResources {
    let tasks = group.tasks.iter().map(|task| (task.name.clone(), of_task(task, node))).collect();
    AllocatedResources { tasks, shared: AllocatedSharedResources { disk_mb: group.disk_mb(), ..AllocatedSharedResources::default() } }
}

fn of_task(task: &Task, node: &Node) -> AllocatedTaskResources {
    AllocatedTaskResources {
        cpu: AllocatedCpuResources { cpu_shares: cpu_mhz(task) },
        memory: AllocatedMemoryResources { memory_mb: memory_mb(task), memory_max_mb: memory_max_mb(task, node) },
        ..AllocatedTaskResources::default()
    }
}

fn cpu_mhz(task: &Task) -> i64 {
    task.resources.as_ref().map_or(DEFAULT_CPU_MHZ, |r| r.cpu_mhz()).max(0)
}

fn memory_mb(task: &Task) -> i64 {
    task.resources.as_ref().map_or(DEFAULT_MEMORY_MB, |r| r.memory_mb()).max(0)
}

/// Zero when the task may use no more than it reserves; -1 in the job means all of the node's memory.
fn memory_max_mb(task: &Task, node: &Node) -> i64 {
    match task.resources.as_ref().and_then(|r| r.memory_max_mb) {
        Some(-1) => node.capacity().memory_mb,
        Some(max) if max > memory_mb(task) => max,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use floe_model::resources::Resources;

    fn task(name: &str, memory_max_mb: Option<i64>) -> Task {
        let resources = Resources { cpu: Some(200), memory_mb: Some(64), memory_max_mb, ..Resources::default() };
        Task { name: name.to_owned(), resources: Some(resources), ..Task::default() }
    }

    #[test]
    fn an_ask_is_what_the_allocation_then_holds() {
        let tasks = vec![task("a", None), task("b", Some(128)), Task { name: "c".to_owned(), ..Task::default() }];
        let group = TaskGroup { tasks, ..TaskGroup::default() };
        let ask = amounts(&group);
        assert_eq!(ask, Amounts { cpu_mhz: 500, memory_mb: 428, disk_mb: 300 });
        assert_eq!(resources(&group, &Node::default()).amounts(), ask);
    }

    #[test]
    fn memory_may_grow_to_its_maximum() {
        let mut node = Node::default();
        node.node_resources.memory.memory_mb = 1000;
        node.reserved_resources.memory.memory_mb = 100;
        let max = |m| of_task(&task("t", m), &node).memory.memory_max_mb;
        assert_eq!([max(None), max(Some(64)), max(Some(65)), max(Some(-1))], [0, 0, 65, 900]);
    }
}

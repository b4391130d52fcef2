"""A job on a real machine: submitted, placed, run, reached, limited, killed for its memory, kept over a restart of the agent, gone. One machine.

Needs the floe binary: tests/lanes/run --payload target/debug/floe tests/lanes/hello.py
"""

import json
import shlex
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DATA = "/var/lib/floe"
UNIT = f"""[Unit]
Description=floe agent
After=network.target

[Service]
ExecStart=/usr/local/bin/floe agent -dev -data-dir {DATA}
# Tasks belong to their shims, not to the agent: a restart of this unit leaves them alone.
KillMode=process
Delegate=yes
Restart=on-failure
OOMScoreAdjust=-900
"""
GREEDY = """
job "greedy" {
  type = "batch"
  group "one" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "fill" {
      driver = "exec"
      config {
        command = "/usr/bin/bash"
        args    = ["-c", "exec tail --bytes 256M <(head --bytes 256M /dev/zero)"]
      }
      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
"""


def write(path, text):
    machine.succeed(f"printf %s {shlex.quote(text)} >{path}")


def allocation(job, status):
    """The one allocation of a job, once its client status is `status`."""
    answer = ""

    def has_status(_last_try):
        nonlocal answer
        _, answer = machine.execute(f"curl --silent --show-error --fail http://127.0.0.1:4646/v1/job/{job}/allocations 2>&1")
        return answer.startswith("[") and [alloc["ClientStatus"] for alloc in json.loads(answer)] == [status]

    with machine.nested(f"waiting for one allocation of {job}, which is {status}"):
        try:
            retry(has_status, 60)
        except AssertionError:
            journal = machine.execute("journalctl --no-pager --unit floe.service --lines 40")[1]
            raise AssertionError(f"not there after 60 seconds; the API says: {answer[:2000]}\nthe agent says:\n{journal}") from None
    return json.loads(machine.succeed(f"floe alloc status -json {json.loads(answer)[0]['ID']}"))


def server_pid():
    return machine.succeed("pgrep --exact busybox").split()


def cgroup_file(pid, name):
    path = machine.succeed(f"grep '^0::' /proc/{pid}/cgroup").strip().removeprefix("0::")
    return machine.succeed(f"cat /sys/fs/cgroup{path}/{name}").strip()


def machine_state():
    """The links, named network namespaces and mounts of the machine."""
    return set(machine.succeed("ip -o link | cut -d: -f2; find /run -path '*netns/*'; cut -d' ' -f2 /proc/mounts").split())


t.assertIsNotNone(payload, "hello.py needs --payload with the floe binary")
machine.wait_for_unit("multi-user.target")
before = machine_state()

with subtest("the agent starts under systemd and its node is ready"):
    machine.copy_from_host(payload, "/usr/local/bin/floe")
    machine.copy_from_host(EXAMPLES, "/root/examples")
    write("/etc/systemd/system/floe.service", UNIT)
    machine.succeed("systemctl daemon-reload && systemctl start floe.service")
    machine.wait_for_unit("floe.service")
    machine.wait_for_open_port(4646, "127.0.0.1", timeout=60)
    machine.wait_until_succeeds("floe node status | grep --word-regexp ready", timeout=60)

with subtest("a job is placed and runs"):
    machine.succeed("floe job run /root/examples/hello.hcl", timeout=120)
    hello = allocation("hello", "running")
    t.assertTrue(json.loads(machine.succeed("floe job status -json hello")))

with subtest("the page is there, rendered for this allocation"):
    (port,) = hello["AllocatedResources"]["Shared"]["Ports"]
    page = machine.wait_until_succeeds(f"curl --silent --fail http://{port['HostIP']}:{port['Value']}/", timeout=30)
    t.assertIn(hello["ID"], page)
    t.assertIn(hello["ID"], machine.succeed(f"curl --silent --fail http://127.0.0.1:{port['Value']}/"))

with subtest("limits of memory, processor and processes hold in cgroup v2"):
    (pid,) = server_pid()
    t.assertEqual(cgroup_file(pid, "memory.max"), str(64 << 20))
    t.assertEqual(cgroup_file(pid, "memory.swap.max"), "0")
    # 100 MHz of shares on the scale from 1 to 10000; unlimited would be 100.
    t.assertEqual(cgroup_file(pid, "cpu.weight"), "4")
    t.assertEqual(cgroup_file(pid, "pids.max"), "4096")
    t.assertIn(pid, cgroup_file(pid, "cgroup.procs").split())

with subtest("a task that takes more memory than it asked for is killed, and its status says so"):
    write("/root/greedy.hcl", GREEDY)
    machine.succeed("floe job run -detach /root/greedy.hcl 2>&1")
    greedy = allocation("greedy", "failed")
    ends = [event for event in greedy["TaskStates"]["fill"]["Events"] if event["Type"] == "Terminated"]
    t.assertEqual([event["Details"]["oom_killed"] for event in ends], ["true"])
    t.assertIn("OOM Killed", ends[0]["DisplayMessage"])
    machine.succeed("floe job stop -purge greedy")

with subtest("a restart of the agent leaves the task its process"):
    machine.succeed("systemctl restart floe.service")
    machine.wait_for_open_port(4646, "127.0.0.1", timeout=60)
    t.assertEqual(server_pid(), [pid])
    t.assertEqual(allocation("hello", "running")["ID"], hello["ID"])
    machine.succeed(f"curl --silent --fail http://127.0.0.1:{port['Value']}/")

with subtest("so does its death"):
    machine.succeed("systemctl kill --kill-whom=main --signal=KILL floe.service")
    machine.wait_until_succeeds("test $(systemctl show --property NRestarts --value floe.service) -ge 1", timeout=60)
    machine.wait_for_open_port(4646, "127.0.0.1", timeout=60)
    t.assertEqual(server_pid(), [pid])
    t.assertEqual(allocation("hello", "running")["ID"], hello["ID"])

with subtest("logs are kept"):
    machine.succeed(f"floe alloc logs -stderr {hello['ID']} server | grep --quiet 'response:200'")

with subtest("a stopped job leaves nothing"):
    machine.succeed("floe job stop -purge hello", timeout=120)
    machine.wait_until_fails("pgrep --exact busybox", timeout=30)
    machine.wait_until_fails("pgrep --full '^[^ ]*floe shim '", timeout=30)
    machine.wait_until_fails(f"curl --silent --fail --max-time 2 http://127.0.0.1:{port['Value']}/", timeout=30)
    machine.wait_until_fails("find /sys/fs/cgroup/floe.slice -mindepth 1 -type d ! -name shims | grep .", timeout=30)
    machine.fail("grep . /sys/fs/cgroup/floe.slice/shims/cgroup.procs")
    machine.fail("ip -o link | grep ' fl[0-9a-f]\\{12\\}'")
    # The node keeps its bridge for the next allocation, and nothing else.
    with machine.nested("waiting until no link, namespace or mount is left"):
        retry(lambda _last_try: machine_state() - before == {"floe"}, 30)

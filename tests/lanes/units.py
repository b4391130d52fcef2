"""What NixOS' modules make, on real machines: their units, configurations, credentials and firewall rules, as an inventory gives them. Three servers, one
of them a client, too, begin a cluster, whatever order they start in; a client joins it. Secrets go once they have served; agents restart, hang and
stop, and tasks run on. Machines one and two are servers, three is both, four is a client.

The payload is JSON: where the floe binary is, and what the modules make for each machine; `./dev lane-units` makes it.
"""

import json
import re
import shlex
from pathlib import Path

MADE = json.loads(Path(payload).read_text())
SERVERS = [one, two, three]
JOB = """
job "web" {
  group "one" {
    network {
      mode = "bridge"
      port "http" { static = 8080 }
    }
    constraint {
      attribute = "${node.unique.name}"
      value     = "four"
    }
    task "server" {
      driver = "exec"
      config {
        command = "/bin/busybox"
        args    = ["httpd", "-f", "-p", "${NOMAD_PORT_http}", "-h", "/local"]
      }
      template {
        data        = "hello"
        destination = "local/index.html"
      }
      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
"""


def write(machine, path, text, mode="0644"):
    machine.succeed(f"install -D -m {mode} /dev/null {path} && printf %s {shlex.quote(text)} >{path}")


def install_unit(machine, made):
    unit, changed = re.subn(r"(?m)^ExecStart=\S+/bin/floe", "ExecStart=/usr/local/bin/floe", made["unit"])
    t.assertEqual(changed, 1)
    write(machine, "/etc/systemd/system/floe.service", unit)


def declare(machine, jobs):
    """What `services.floe.jobs` and a switch would do. The folder's path is another one, too."""
    unit, changed = re.subn(
        r"(?m)^ExecStart=\S+/bin/floe (.*) \S+$", r"ExecStart=/usr/local/bin/floe \1 /etc/floe/jobs", MADE["machines"][machine.name]["jobsUnit"]
    )
    t.assertEqual(changed, 1)
    write(machine, "/etc/systemd/system/floe-jobs.service", unit)
    machine.succeed("rm -rf /etc/floe/jobs", "mkdir -p /etc/floe/jobs")
    for name, job in jobs.items():
        write(machine, f"/etc/floe/jobs/{name}.json", json.dumps({"job": {name: job}}))
    machine.succeed("systemctl daemon-reload", "systemctl restart floe-jobs.service", timeout=60)
    wait_for("the declared jobs are there", lambda: prop(machine, "SubState", "floe-jobs.service") == "exited")
    return machine.succeed("journalctl --no-pager --output cat --unit floe-jobs.service --lines 20")


def install(machine):
    """What `nixos-rebuild switch` would put there. The program's path is another one, and nothing else."""
    made = MADE["machines"][machine.name]
    t.assertEqual(made["address"], machine.address, "the inventory's addresses are those of the machines")
    machine.copy_from_host(MADE["floe"], "/usr/local/bin/floe")
    write(machine, "/etc/floe/agent.json", json.dumps(made["configuration"]))
    install_unit(machine, made)
    if made["user"]:
        machine.succeed("useradd --system --home-dir /var/lib/floe --shell /usr/sbin/nologin floe")
    # Everybody else is shut out, so the modules' rules are what lets the others in.
    rules = ["type filter hook input priority 0", *made["rules"].splitlines(), "tcp dport 4647 iifname != lo drop"]
    write(machine, "/root/rules.nft", "table inet test {\nchain input {\n" + "\n".join(rules) + "\n}\n}\n")
    machine.succeed("nft --file /root/rules.nft", "systemctl daemon-reload")


def secret(machine, name, text):
    write(machine, f"/run/secrets/{name}", text, "0400")


def prop(machine, name, unit="floe.service"):
    return machine.succeed(f"systemctl show {unit} --property {name} --value").strip()


def says(machine):
    return machine.succeed("journalctl --no-pager --unit floe.service --lines 40 2>&1")


def wait_for(what, check, timeout=90):
    def attempt(last_try):
        try:
            return check()
        except Exception as error:  # an agent that cannot answer now is asked again
            if last_try:
                one.log(f"{what}: {error!r}")
            return False

    with one.nested(what):
        try:
            retry(attempt, timeout)
        except AssertionError:
            for machine in machines:
                machine.log("says:\n" + says(machine))
            raise


def ask(machine, path):
    return json.loads(machine.succeed(f"curl --silent --show-error --fail --max-time 5 'http://127.0.0.1:4646{path}'"))


def voters(machine):
    return sorted(s["Node"] for s in ask(machine, "/v1/operator/raft/configuration")["Servers"] if s["Voter"])


def page_is_there():
    return four.succeed(f"curl --silent --fail --max-time 5 http://{four.address}:8080/").strip() == "hello"


def task_pid():
    return four.succeed("pgrep --full --exact '/bin/busybox httpd .*'").strip()


start_all()
for machine in machines:
    machine.wait_for_unit("multi-user.target")
    install(machine)

with subtest("a server that waits for the others counts as started"):
    shared = one.succeed("floe server bootstrap-secret")
    key = one.succeed("floe server keyring-key -out /root/key >&2 && base64 --wrap 0 /root/key")
    for machine in SERVERS:
        secret(machine, "floe-bootstrap", shared)
        machine.succeed(f"umask 077; echo {key} | base64 --decode >/run/secrets/floe-kek")
    one.succeed("systemctl start floe.service", timeout=60)
    t.assertIn("waiting to begin a cluster of 3 servers", prop(one, "StatusText"))

with subtest("three servers begin a cluster"):
    for machine in [three, two]:
        machine.succeed("systemctl start floe.service", timeout=60)
    for machine in SERVERS:
        wait_for(f"{machine.name} knows three voters", lambda machine=machine: voters(machine) == ["one", "three", "two"])
    wait_for("the client part of three is ready", lambda: [n["Name"] for n in ask(one, "/v1/nodes") if n["Status"] == "ready"] == ["three"])
    wait_for("one says what it is", lambda: prop(one, "StatusText").startswith("server at http://127.0.0.1:4646"))

with subtest("a server without a client has no rights"):
    status = one.succeed(f"cat /proc/{prop(one, 'MainPID')}/status")
    t.assertRegex(status, r"CapEff:\s+0+\n")
    t.assertRegex(status, r"NoNewPrivs:\s+1\n")
    t.assertRegex(status, r"Seccomp:\s+2\n")
    t.assertEqual(one.succeed(f"ps -o user= -p {prop(one, 'MainPID')}").strip(), "floe")
    t.assertEqual(one.succeed("stat --format '%U %a' /var/lib/floe /var/lib/floe/identity").split(), ["floe", "700", "floe", "600"])
    t.assertIn("active", one.succeed("floe operator root keyring list"), "the key that it was given wraps root keys")

with subtest("a client without a token says so, and joins with one"):
    four.execute("systemctl start floe.service", timeout=60)
    wait_for("it says what is missing", lambda: "make a token on a server" in says(four))
    secret(four, "floe-join-token", one.succeed("floe server token -client 2>/dev/null"))
    wait_for("it is in", lambda: sorted(n["Name"] for n in ask(one, "/v1/nodes") if n["Status"] == "ready") == ["four", "three"])
    t.assertEqual(prop(four, "ActiveState"), "active")

with subtest("secrets that served once may go"):
    for machine in machines:
        machine.succeed("rm -f /run/secrets/floe-bootstrap /run/secrets/floe-join-token")
    for machine in [one, four]:
        machine.succeed("systemctl restart floe.service", timeout=60)
    wait_for("one is back", lambda: voters(one) == ["one", "three", "two"])

with subtest("a server becomes a client, too, and goes back"):
    plain = MADE["machines"]["two"]
    both = dict(plain, unit=MADE["machines"]["three"]["unit"], configuration=dict(plain["configuration"], client={"enabled": True}))
    for made, owner in [(both, "root"), (plain, "floe")]:
        install_unit(two, made)
        write(two, "/etc/floe/agent.json", json.dumps(made["configuration"]))
        two.succeed("systemctl daemon-reload", "systemctl restart floe.service", timeout=60)
        t.assertEqual(two.succeed("stat --format %U /var/lib/floe /var/lib/floe/identity /var/lib/floe/server").split(), [owner] * 3)
        wait_for(f"two is back, as {owner}", lambda: voters(two) == ["one", "three", "two"])

with subtest("a job runs, and a restart of the agent does not touch it"):
    write(four, "/root/web.hcl", JOB)
    four.succeed("floe job run /root/web.hcl >&2", timeout=120)
    wait_for("the page is there", page_is_there)
    pid = task_pid()
    agent = prop(four, "MainPID")
    # As a switch does it, with another configuration.
    changed = dict(MADE["machines"]["four"]["configuration"], log_level="debug")
    write(four, "/etc/floe/agent.json", json.dumps(changed))
    four.succeed("systemctl restart floe.service", timeout=60)
    t.assertNotEqual(prop(four, "MainPID"), agent)
    t.assertEqual(task_pid(), pid)
    t.assertTrue(page_is_there())

with subtest("declared jobs are brought to the cluster by their unit, and stopped when they are gone"):
    sweep = {"group": {"g": {"count": 0, "task": {"t": {"driver": "exec", "config": {"command": "/bin/true"}}}}}}
    t.assertIn("1 created", declare(one, {"sweep": sweep}))
    t.assertEqual(ask(four, "/v1/job/sweep")["Meta"]["floe.declared-by"], "one")
    t.assertIn("1 unchanged", declare(one, {"sweep": sweep}))
    t.assertIn("1 pruned", declare(one, {}))
    t.assertTrue(ask(four, "/v1/job/sweep")["Stop"])
    t.assertTrue(page_is_there(), "what was run by hand is left alone")

with subtest("an agent that hangs is replaced, and its tasks run on"):
    write(four, "/etc/systemd/system/floe.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
    four.succeed("systemctl daemon-reload", "systemctl restart floe.service", timeout=60)
    agent = prop(four, "MainPID")
    four.succeed(f"kill -STOP {agent}")
    wait_for("another one runs", lambda: prop(four, "MainPID") not in (agent, "0") and prop(four, "ActiveState") == "active")
    t.assertIn("Watchdog timeout", says(four))
    t.assertEqual(task_pid(), pid)
    wait_for("the page is there", page_is_there)

with subtest("a stop ends the agent and no task"):
    four.succeed("systemctl stop floe.service", timeout=60)
    t.assertEqual((prop(four, "ActiveState"), prop(four, "Result")), ("inactive", "success"))
    t.assertEqual(task_pid(), pid)
    one.succeed("systemctl stop floe.service", timeout=60)
    t.assertEqual((prop(one, "ActiveState"), prop(one, "Result")), ("inactive", "success"))

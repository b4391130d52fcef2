"""Servers on machines of their own: they join by token over mutual TLS, survive kill -9 and a cut cable, move to another address, and a
client's work survives all of it. Machines one, two and three are servers, four is a client. (Power cuts are played where the disk is one that
loses exactly what was not synced: in the store's tests. Here the guest's own file system does not survive each of them.)

Needs the floe binary: tests/lanes/run --nodes one,two,three,four --memory 384 --payload target/debug/floe tests/lanes/cluster.py
"""

import json
import shlex

SERVERS = [one, two, three]
UNIT = """[Unit]
Description=floe agent
After=network.target

[Service]
ExecStart=/usr/local/bin/floe agent -config /etc/floe.json
KillMode=process
Delegate=yes
"""
JOB = """
job "web" {
  group "one" {
    network {
      mode = "bridge"
      port "http" { static = 8080 }
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


def write(machine, path, text):
    machine.succeed(f"printf %s {shlex.quote(text)} >{path}")


def configure(machine, **settings):
    """Writes an agent's configuration: RPC on the machine's own address, the API on loopback."""
    base = {
        "name": machine.name,
        "data_dir": "/var/lib/floe",
        "bind_addr": machine.address,
        "autopilot": {"server_stabilization_time": "2s", "last_contact_threshold": "1s"},
    }
    write(machine, "/etc/floe.json", json.dumps(base | settings))


def ask(machine, path):
    return json.loads(machine.succeed(f"curl --silent --show-error --fail 'http://127.0.0.1:4646{path}'"))


def token(role):
    return one.succeed(f"floe server token -{role} 2>/dev/null").strip()


def wait_for(what, check, timeout=60):
    with one.nested(what):
        def attempt(_last_try):
            try:
                return check()
            except Exception:  # an agent that cannot answer now is asked again
                return False

        try:
            retry(attempt, timeout)
        except AssertionError:
            for machine in machines:
                machine.log("says:\n" + machine.execute("journalctl --no-pager --unit floe.service --lines 15 2>&1")[1])
            raise


def voters(machine):
    servers = ask(machine, "/v1/operator/raft/configuration")["Servers"]
    return sorted(s["Node"] for s in servers if s["Voter"])


def leader(machine):
    servers = ask(machine, "/v1/operator/raft/configuration")["Servers"]
    return next((s["Node"] for s in servers if s["Leader"]), None)


def page_is_there(machine):
    return machine.succeed(f"curl --silent --fail --max-time 2 http://{four.address}:8080/").strip() == "hello"


def register(machine, name):
    """Registers a job that places nothing."""
    group = {"Name": "g", "Count": 0, "Tasks": [{"Name": "t", "Driver": "exec", "Config": {"command": "/bin/true"}}]}
    body = json.dumps({"Job": {"ID": name, "Name": name, "Datacenters": ["*"], "TaskGroups": [group]}})
    machine.succeed(f"curl --silent --show-error --fail --max-time 5 -X PUT -d {shlex.quote(body)} http://127.0.0.1:4646/v1/jobs")
    return True


def kill(machine):
    machine.systemctl("kill --signal KILL floe.service")
    machine.wait_until_fails("pgrep --exact floe")


start_all()
for machine in machines:
    machine.wait_for_unit("multi-user.target")
    machine.copy_from_host(payload, "/usr/local/bin/floe")
    write(machine, "/etc/systemd/system/floe.service", UNIT)

with subtest("three servers from one"):
    configure(one, server={"enabled": True})
    one.systemctl("start floe.service")
    wait_for("one leads", lambda: voters(one) == ["one"])
    for machine in (two, three):
        write(machine, "/etc/floe.token", token("server"))
        configure(machine, server={"enabled": True, "retry_join": ["one"]}, join_token_file="/etc/floe.token")
        machine.systemctl("start floe.service")
    wait_for("all three vote", lambda: voters(three) == ["one", "three", "two"])

with subtest("nobody talks to the RPC port without a certificate"):
    one.fail("curl --silent --fail --max-time 5 http://127.0.0.1:4647/v1/jobs")
    four.fail(f"curl --silent --fail --insecure --http2 --max-time 5 https://{one.address}:4647/v1/jobs")
    four.fail(f"curl --silent --fail --max-time 5 http://{one.address}:4646/v1/jobs")

with subtest("a client on a machine of its own runs a job"):
    write(four, "/etc/floe.token", token("client"))
    configure(four, client={"enabled": True, "servers": ["one", "two", "three"]}, join_token_file="/etc/floe.token")
    four.systemctl("start floe.service")
    wait_for("the node is ready", lambda: [n["Status"] for n in ask(two, "/v1/nodes")] == ["ready"])
    write(two, "/root/web.hcl", JOB)
    two.succeed("floe job run /root/web.hcl")
    wait_for("the page is served", lambda: page_is_there(two))
    pid = four.succeed("pgrep --exact busybox").strip()

with subtest("the leader is killed"):
    name = leader(two)
    lost = next(m for m in SERVERS if m.name == name)
    rest = [m for m in SERVERS if m is not lost]
    kill(lost)
    wait_for("the others write", lambda: register(rest[0], "without-a-leader"))
    lost.systemctl("start floe.service")
    wait_for("it has what it missed", lambda: any(j["ID"] == "without-a-leader" for j in ask(lost, "/v1/jobs?stale")))

with subtest("a server that is cut off writes nothing, and does not disturb when it is back"):
    name = leader(one)
    lonely = next(m for m in SERVERS if m.name == name)
    rest = [m for m in SERVERS if m is not lonely]
    lonely.block()
    wait_for("the others write", lambda: register(rest[0], "without-it"))
    body = '{"Job":{"ID":"x","Name":"x","TaskGroups":[{"Name":"g","Count":0,"Tasks":[{"Name":"t","Driver":"exec","Config":{"command":"/x"}}]}]}}'
    refused = lonely.succeed(f"curl --silent --max-time 30 -X PUT -d '{body}' http://127.0.0.1:4646/v1/jobs")
    for machine in rest:
        t.assertIn(machine.name, refused)
    lonely.unblock()
    wait_for("it is healed", lambda: any(j["ID"] == "without-it" for j in ask(lonely, "/v1/jobs?stale")))

with subtest("a server moves to another address"):
    three.systemctl("stop floe.service")
    three.succeed("ip address add 192.168.1.77/24 dev $(ip -o route get 192.168.1.254 | sed 's/.* dev \\([^ ]*\\) .*/\\1/')")
    configure(three, server={"enabled": True, "retry_join": ["one"]}, bind_addr="192.168.1.77")
    three.systemctl("start floe.service")
    found = lambda: any(s["Address"] == "192.168.1.77:4647" for s in ask(one, "/v1/operator/raft/configuration")["Servers"])
    wait_for("the others know where it is", found)
    wait_for("it follows", lambda: register(three, "moved"))

with subtest("a majority is lost, and comes back"):
    kill(two)
    kill(three)
    wait_for("stale reads go on", lambda: len(ask(one, "/v1/jobs?stale")) >= 4)
    t.assertTrue(page_is_there(one), "and so does what runs")
    two.systemctl("start floe.service")
    wait_for("two are enough", lambda: register(one, "again"))

with subtest("nothing was lost, and the task never noticed"):
    t.assertEqual(sorted(j["ID"] for j in ask(two, "/v1/jobs")), ["again", "moved", "web", "without-a-leader", "without-it"])
    t.assertEqual(four.succeed("pgrep --exact busybox").strip(), pid)
    t.assertEqual([n["Status"] for n in ask(one, "/v1/nodes")], ["ready"])

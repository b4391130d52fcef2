"""Servers on machines of their own: they join by token over mutual TLS, survive kill -9, a cut cable, a slow and lossy network, a disk that is
full or fails, clocks that jump and a pause; move to another address; and a client's work survives all of it. Machines one, two and three are
servers, four is a client; two has its data on a disk that can be made to fail. (Power cuts are in nixos-tests, and in the store's tests, where the disk
is one that loses exactly what was not synced.)

Needs the floe binary: tests/lanes/run --nodes one,two,three,four --memory 384 --payload target/debug/floe tests/lanes/cluster.py
"""

import json
import shlex

SERVERS = [one, two, three]
WORKS = "linear /dev/loop0 0"
FAILS = "flakey /dev/loop0 0 0 3600 1 error_writes"
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
                try:
                    machine.log("says:\n" + machine.execute("journalctl --no-pager --unit floe.service --lines 15 2>&1", timeout=5)[1])
                except Exception:  # one that is paused says nothing
                    machine.log("says nothing")
            raise


def voters(machine):
    servers = ask(machine, "/v1/operator/raft/configuration")["Servers"]
    return sorted(s["Node"] for s in servers if s["Voter"])


def leader(machine):
    servers = ask(machine, "/v1/operator/raft/configuration")["Servers"]
    return next((s["Node"] for s in servers if s["Leader"]), None)


def page_is_there(machine):
    return machine.succeed(f"curl --silent --fail --max-time 2 http://{four.address}:8080/").strip() == "hello"


def register(machine, name, fat=False):
    """Registers a job that places nothing."""
    group = {"Name": "g", "Count": 0, "Tasks": [{"Name": "t", "Driver": "exec", "Config": {"command": "/bin/true"}}]}
    job = {"ID": name, "Name": name, "Datacenters": ["*"], "Meta": {"fat": "@"}, "TaskGroups": [group]}
    filling = "head --bytes 95000 /dev/urandom | base64 --wrap 0" if fat else "echo thin"
    machine.succeed(f"{{ printf %s {shlex.quote(json.dumps({'Job': job}).split('@')[0])}; {filling} | tr --delete '\\n'; "
                    f"printf %s {shlex.quote(json.dumps({'Job': job}).split('@')[1])}; }} >/root/job.json")
    machine.succeed("curl --silent --show-error --fail --max-time 10 -X PUT -d @/root/job.json http://127.0.0.1:4646/v1/jobs")
    return True


def jobs(machine):
    return sorted(j["ID"] for j in ask(machine, "/v1/jobs?stale"))


def journal(machine):
    return machine.succeed("journalctl --no-pager --unit floe.service --output cat --lines 30")


def disk(machine, target, command="reload"):
    """The disk under the data folder: `linear` works, `flakey` fails every write from the first one."""
    table = f'"0 $(blockdev --getsz /dev/loop0) {target}"'
    machine.succeed(f"dmsetup --noudevsync {command} data --table {table}")
    if command == "reload":
        machine.succeed("dmsetup --noudevsync suspend --noflush --nolockfs data && dmsetup --noudevsync resume data")


def kill(machine):
    machine.systemctl("kill --signal KILL floe.service")
    machine.wait_until_fails("pgrep --exact floe")


INTERFACE = "$(ip -o route get 192.168.1.254 | sed 's/.* dev \\([^ ]*\\) .*/\\1/')"

start_all()
for machine in machines:
    machine.wait_for_unit("multi-user.target")
    machine.copy_from_host(payload, "/usr/local/bin/floe")
    write(machine, "/etc/systemd/system/floe.service", UNIT)

two.succeed("truncate --size 256M /root/disk && mkfs.ext4 -q /root/disk && losetup /dev/loop0 /root/disk")
disk(two, WORKS, "create")
two.succeed("dmsetup --noudevsync mknodes && mkdir -p /var/lib/floe && mount /dev/mapper/data /var/lib/floe")

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
    three.succeed(f"ip address add 192.168.1.77/24 dev {INTERFACE}")
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

with subtest("a full disk stops a server, which says so, and goes on when there is room"):
    three.systemctl("start floe.service")
    wait_for("three is back", lambda: "again" in jobs(three))
    two.execute("cat /dev/zero >/var/lib/floe/fill 2>/dev/null; sync")
    # A log's file grows in steps: it takes more than one entry to find the disk full.
    wait_for("two has stopped", lambda: register(one, "two-is-full", fat=True) and two.execute("pgrep --exact floe")[0] != 0)
    t.assertIn("No space left on device", journal(two))
    two.succeed("rm /var/lib/floe/fill")
    two.systemctl("start floe.service")
    wait_for("it has what it missed", lambda: "two-is-full" in jobs(two))

with subtest("a leader whose disk fails makes way, and loses nothing"):
    leaders_id = lambda: next(s["ID"] for s in ask(one, "/v1/operator/raft/configuration")["Servers"] if s["Node"] == "two")
    one.succeed(f"floe operator raft transfer-leadership -peer-id {leaders_id()}")
    wait_for("two leads", lambda: leader(one) == "two")
    wait_for("two writes", lambda: register(two, "before-the-disk-failed"))
    disk(two, FAILS)
    wait_for("the others write", lambda: register(one, "without-its-disk"))
    wait_for("two has stopped", lambda: two.execute("pgrep --exact floe")[0] != 0)
    t.assertIn("the disk failed, so the log takes no more writes", journal(two))
    two.succeed("umount /var/lib/floe")
    disk(two, WORKS)
    two.execute("fsck.ext4 -p /dev/mapper/data")
    two.succeed("mount /dev/mapper/data /var/lib/floe")
    two.systemctl("start floe.service")
    wait_for("it has all", lambda: {"before-the-disk-failed", "without-its-disk"} <= set(jobs(two)))

with subtest("a network that is slow and loses packets slows writes down, and no more"):
    for machine in SERVERS:
        machine.succeed(f"tc qdisc add dev {INTERFACE} root netem delay 15ms 5ms loss 3% duplicate 1%")
    for n, machine in enumerate(SERVERS):
        wait_for(f"{machine.name} writes", lambda: register(machine, f"slowly-{n}"))
    for machine in SERVERS:
        machine.succeed(f"tc qdisc delete dev {INTERFACE} root")

with subtest("a server whose clock is behind says so, by how much, and what to do"):
    late = next(m for m in SERVERS if m.name != leader(one))
    late.systemctl("stop floe.service")
    late.succeed("date --set '-3 hours'")
    late.systemctl("start floe.service")
    wait_for("it says so in its log", lambda: "this machine's clock is at least" in journal(late) and "systemd-timesyncd" in journal(late))
    said = lambda path: late.succeed(f"curl --silent --max-time 30 'http://127.0.0.1:4646{path}'")
    wait_for("its health says so", lambda: "this machine's clock is at least" in said("/v1/agent/health"))
    t.assertIn("this machine's clock is at least", said("/v1/jobs"))
    late.succeed("date --set '+3 hours'")
    wait_for("it writes", lambda: register(late, "in-time-again"))

with subtest("clocks jump, and a leader that slept is none"):
    name = leader(one)
    sleeper = next(m for m in SERVERS if m.name == name)
    rest = [m for m in SERVERS if m is not sleeper]
    for machine, jump in zip([sleeper, *rest], ["+2 hours", "-4 minutes", "+50 minutes"]):
        machine.succeed(f"date --set '{jump}'")
        wait_for("it writes", lambda: register(machine, f"at-another-time-{machine.name}"))
    t.assertEqual([n["Status"] for n in ask(rest[0], "/v1/nodes")], ["ready"])
    sleeper.pause()
    wait_for("the others write", lambda: register(rest[0], "meanwhile"))
    sleeper.resume()
    wait_for("it follows", lambda: "meanwhile" in jobs(sleeper) and leader(sleeper) not in (None, name))

with subtest("nothing was lost, and the task never noticed"):
    written = ["again", "moved", "web", "without-a-leader", "without-it", "two-is-full", "before-the-disk-failed", "without-its-disk", "meanwhile",
               "in-time-again"]
    written += [f"slowly-{n}" for n in range(3)] + [f"at-another-time-{m.name}" for m in SERVERS]
    for machine in SERVERS:
        t.assertEqual([j["ID"] for j in ask(machine, "/v1/jobs")], sorted(written))
    t.assertEqual(four.succeed("pgrep --exact busybox").strip(), pid)
    t.assertEqual([n["Status"] for n in ask(one, "/v1/nodes")], ["ready"])

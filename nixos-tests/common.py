"""What the scenarios have in common; it stands before each of them. Calls of NixOS' test driver only."""

import json
import shlex

API = "http://127.0.0.1:4646"


def wait_for(what, check, timeout=120):
    """Asks until it is so. An agent that cannot answer now is asked again; in the end all machines say what they know."""

    def attempt(last_try):
        try:
            return check()
        except Exception as error:
            if last_try:
                log.error(f"{what}: {error!r}")
            return False

    with machines[0].nested(what):
        try:
            retry(attempt, timeout)
        except Exception:
            for machine in machines:
                if machine.is_up():
                    machine.log(machine.execute("journalctl --no-pager --unit floe.service --lines 40 2>&1", timeout=20)[1])
            raise


def write(machine, path, text, mode="0600"):
    machine.succeed(f"install -D -m {mode} /dev/null {path} && printf %s {shlex.quote(text)} >{path}")


def secret(machine, name, text):
    """A secret's file, as somebody brought it there; a machine whose power is cut later has it."""
    machine.succeed("install -d -m 0700 /var/lib/secrets")
    write(machine, f"/var/lib/secrets/{name}", text, "0400")
    machine.succeed("sync")


def share_secrets(servers):
    """What servers have in common before they begin a cluster."""
    shared = servers[0].succeed("floe server bootstrap-secret")
    key = servers[0].succeed("floe server keyring-key -out /root/key >&2 && cat /root/key")
    for machine in servers:
        secret(machine, "bootstrap", shared)
        secret(machine, "keyring-key", key)


def let_in(machine, server, role="client"):
    """Gives a machine the token by which it joins."""
    secret(machine, "join-token", server.succeed(f"floe server token -{role} 2>/dev/null"))


def get(machine, url):
    """What is there. It is asked often, so the log does not have it."""
    status, text = machine.execute(f"curl --silent --show-error --fail --max-time 5 '{url}' 2>&1")
    if status != 0:
        raise Exception(f"{machine.name} asked for {url}, and was told: {text}")
    return text


def ask(machine, path):
    return json.loads(get(machine, API + path))


def voters(machine):
    return sorted(s["Node"] for s in ask(machine, "/v1/operator/raft/configuration")["Servers"] if s["Voter"])


def leader(machine):
    """The name of the server that leads, as this one knows it."""
    return next((s["Node"] for s in ask(machine, "/v1/operator/raft/configuration")["Servers"] if s["Leader"]), None)


def ready(machine):
    """The names of the nodes that take work."""
    return sorted(n["Name"] for n in ask(machine, "/v1/nodes") if n["Status"] == "ready")


def running(machine, job):
    """Where a job runs: the nodes' names."""
    return sorted(a["NodeName"] for a in ask(machine, f"/v1/job/{job}/allocations") if a["ClientStatus"] == "running")


def page(machine, host):
    """What the job `web` answers on a node."""
    return get(machine, f"http://{host}:8080/").strip()


def task(machine):
    """The process id of the task of the job `web`."""
    (pid,) = machine.succeed("pgrep --exact busybox").split()
    return pid


def agent(machine):
    """The process id of the agent."""
    return machine.get_unit_property("floe.service", "MainPID")


def says(machine):
    return machine.succeed("journalctl --no-pager --boot --unit floe.service --output cat")


def switch(machine, name):
    """What `nixos-rebuild switch` does, to a second configuration of the machine; `base` is the one that it booted."""
    inside = "" if name == "base" else f"/specialisation/{name}"
    machine.succeed(f"/run/booted-system{inside}/bin/switch-to-configuration test >&2", timeout=120)

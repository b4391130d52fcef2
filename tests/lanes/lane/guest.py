"""Runs inside a machine of the lane, and makes it what a configuration of NixOS says: files of /etc, units, users, firewall, programs.

usage: guest.py boot            at boot, before anything of it starts: the machine's base configuration
       guest.py switch SYSTEM   while it runs: another one of its configurations

It does what NixOS' own programs are documented to do: a unit that changed is stopped and started, or restarted if it says X-StopIfChanged=false;
one that is gone is stopped; one that stayed as it is is left alone. The configurations are in NAME/systems.json beside this file's copy, which the
host made.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNITS = Path("/etc/systemd/system")
PROGRAMS = Path("/usr/local/bin")
# What this program put there, to be taken away when a configuration does not have it any more.
WRITTEN = Path("/var/lib/lane-written")
FAILED_UNITS = 4


def run(*command):
    """Runs a command; says so and returns false when it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        print(f"lane: `{' '.join(command)}` ended with status {done.returncode}", file=sys.stderr)
    return done.returncode == 0


def must(*command):
    if not run(*command):
        sys.exit(1)


def active_units(units):
    """Those of these units that run, or are about to."""
    shown = subprocess.run(["systemctl", "show", "--property=Id,ActiveState", *units], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = set()
    for block in shown.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines())
        if values.get("ActiveState") in ("active", "activating", "reloading"):
            found.add(values["Id"])
    return found


def contents(system):
    """The files that the configuration has: by path, the text, or where a link leads."""
    files = {Path("/etc", name): text for name, text in system["etc"].items()}
    files[Path("/etc/tmpfiles.d/lane-system.conf")] = "".join(f"{rule}\n" for rule in system["tmpfiles"])
    for name, unit in system["units"].items():
        files[UNITS / name] = unit["text"]
        for target in unit["wantedBy"]:
            files[UNITS / f"{target}.wants" / name] = UNITS / name
    for package in system["path"]:
        for program in Path(package, "bin").iterdir():
            files[PROGRAMS / program.name] = program
    return files


def put(files):
    """Makes the machine's files those, and removes what an earlier configuration had beyond them."""
    before = [Path(line) for line in WRITTEN.read_text().splitlines()] if WRITTEN.exists() else []
    WRITTEN.write_text("".join(f"{path}\n" for path in {*before, *files}))
    for path in set(before) - set(files):
        path.unlink(missing_ok=True)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.lane")
        unfinished.unlink(missing_ok=True)
        if isinstance(content, Path):
            unfinished.symlink_to(content)
        else:
            unfinished.write_text(content)
        unfinished.rename(path)
    WRITTEN.write_text("".join(f"{path}\n" for path in files))


def activate(name, system):
    """All but the units: what NixOS' activation does before they are started."""
    put(contents(system))
    for user in system["users"]:
        if subprocess.run(["getent", "passwd", user], stdout=subprocess.DEVNULL, check=False).returncode != 0:
            must("useradd", "--system", "--user-group", "--home-dir", "/var/empty", "--shell", "/usr/sbin/nologin", user)
    must("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/lane-system.conf")
    rules = Path("/run/lane-firewall.nft")
    rules.write_text(system["firewall"])
    must("nft", "--file", str(rules))
    current = Path("/run/current-system")
    current.unlink(missing_ok=True)
    current.symlink_to(HERE / name_of_machine() if name == "base" else HERE / name_of_machine() / "specialisation" / name)


def name_of_machine():
    return os.uname().nodename


def boot(systems):
    Path("/nix/store").mkdir(parents=True, exist_ok=True)
    must("mount", "--bind", str(HERE / "store"), "/nix/store")
    Path("/run/booted-system").symlink_to(HERE / name_of_machine())
    activate("base", systems["base"])
    must("systemctl", "daemon-reload")
    # The targets that are about to be started have more in them now.
    must("systemctl", "--no-block", "start", "default.target")


def switch(name, system):
    before = {path.name: path.read_text() for path in UNITS.glob("*.service") if not path.is_symlink() and str(path) in WRITTEN.read_text().split()}
    after = {unit: given["text"] for unit, given in system["units"].items()}
    changed = {unit for unit in before if before[unit] != after.get(unit)}
    running = active_units(changed) if changed else set()
    restart = {unit for unit in running if "X-StopIfChanged=false" in after.get(unit, "").splitlines()}
    stop = sorted(running - restart)
    if stop:
        must("systemctl", "stop", *stop)
    activate(name, system)
    must("systemctl", "daemon-reload")
    well = True
    if restart:
        print(f"restarting the following units: {', '.join(sorted(restart))}", flush=True)
        well = run("systemctl", "restart", *sorted(restart))
    # What is new is wanted by it, and what was stopped and is still there.
    well = run("systemctl", "start", "default.target") and well
    again = [unit for unit in stop if unit in after]
    well = (not again or run("systemctl", "start", *again)) and well
    sys.exit(0 if well else FAILED_UNITS)


def main(what, name="base"):
    systems = json.loads((HERE / name_of_machine() / "systems.json").read_text())
    if name not in systems:
        sys.exit(f"lane: this machine has no configuration {name}; it has {', '.join(sorted(systems))}")
    if what == "boot":
        boot(systems)
    else:
        switch(name, systems[name])


if __name__ == "__main__":
    os.environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    assert shutil.which("systemctl"), "guest.py runs inside a machine"
    main(*sys.argv[1:])

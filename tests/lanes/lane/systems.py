"""What configurations of NixOS make, as the machines of a run see it: a folder of the host that each of them mounts when it boots.

    store/           what is /nix/store there: our own program, mounted from where it was built; for other packages a link to Debian's program; folders of files
    NAME/            the machine NAME, its /run/booted-system: systems.json, bin/switch-to-configuration, specialisation/OTHER/bin/...
    guest.py         the program that puts all of it where NixOS would
"""

import json
import shutil
from pathlib import Path

from .network import command

HERE = Path(__file__).resolve().parent
SWITCH = """#!/bin/sh
# As NixOS' program of this name: `test` is what it does here, for nothing here chooses what is booted.
[ "$*" = test ] || {{ echo "usage: $0 test" >&2; exit 1; }}
exec python3 /run/lane-system/guest.py switch {name}
"""


def prepare(folder, description, program):
    """Makes the folder for a test that nix/tests/lane.nix described. `program` is our own binary on this machine."""
    folder.mkdir()
    shutil.copy(HERE / "guest.py", folder)
    for name, machine in description["machines"].items():
        _machine(folder / name, machine["systems"])
    systems = [system for machine in description["machines"].values() for system in machine["systems"].values()]
    store = {path: name for system in systems for path, name in system["store"].items()}
    for path, name in store.items():
        _package(folder / "store" / Path(path).relative_to("/nix/store"), name, program)
    for path, files in ((path, files) for system in systems for path, files in system["folders"].items()):
        inside = folder / "store" / Path(path).relative_to("/nix/store")
        inside.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (inside / name).write_text(text)


def _machine(folder, systems):
    folder.mkdir()
    (folder / "systems.json").write_text(json.dumps(systems))
    for name in systems:
        inside = folder if name == "base" else folder / "specialisation" / name
        (inside / "bin").mkdir(parents=True)
        script = inside / "bin/switch-to-configuration"
        script.write_text(SWITCH.format(name=name))
        script.chmod(0o755)


def _package(folder, name, program):
    (folder / "bin").mkdir(parents=True)
    target = folder / "bin" / name
    if name == Path(program).name:
        target.touch()
        # A mount of this run's own namespace, which the guest reads through; a copy for each test would be a fifth of a gigabyte.
        command("mount", "--bind", str(program), str(target))
    else:
        target.symlink_to(Path("/usr/bin") / name)


def node_names(description):
    """The machines' names in the order in which they get their addresses."""
    names = sorted(description["machines"])
    for number, name in enumerate(names, 1):
        machine = description["machines"][name]
        address = f"192.168.1.{number}"
        # A machine without an agent has not said where it is reached.
        for what in ("address", "declared"):
            if machine[what] not in (address, "127.0.0.1"):
                raise ValueError(f"{name} is at {address} here, and the test's {what} address is {machine[what]}")
    return names

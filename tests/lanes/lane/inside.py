"""The part of a run that lives in its own namespaces, as their first process: makes the machines and executes the test script.

When this process ends, the kernel ends every process, link and mount of the run with it.
"""

import contextlib
import json
import re
import traceback
import unittest
from pathlib import Path

from . import systems
from .log import log
from .machine import TestFailure, retry
from .network import Switch, command
from .uml import UmlMachine


class Assertions(unittest.TestCase):
    """`t` in a script: unittest's assert methods."""

    failureException = TestFailure


@contextlib.contextmanager
def subtest(name):
    with log.nested(f"subtest: {name}"):
        try:
            yield
        except Exception:
            log.error(f"subtest failed: {name}")
            raise


def run(options):
    """Runs the script of `options` and returns the exit status."""
    # Disks, guest memory and shared folders are a tmpfs of this mount namespace.
    command("mount", "-t", "tmpfs", "-o", "mode=700", "floe-lane", options.directory)
    directory = Path(options.directory)
    switch = Switch()
    folder = None
    if options.systems:
        folder = directory / "systems"
        described = json.loads(Path(options.systems).read_text())
        systems.prepare(folder, described, options.program)
        names = systems.node_names(described)
    else:
        names = options.nodes.split(",")
    machines = [
        UmlMachine(name, number, directory, switch, options.kernel, options.image, options.memory, names, folder)
        for number, name in enumerate(names, 1)
    ]
    try:
        _execute(Path(options.script), machines, options.payload)
    except Exception as error:  # a script may fail in any way; each is a failed test, with the place in the script
        traceback.print_exc()
        for machine in machines:
            if not isinstance(error, TestFailure):
                break
            print(f"--- end of {machine.name}'s console ---\n" + "\n".join(machine.get_console_log().splitlines()[-10:]), flush=True)
        return 1
    return 0


def _execute(script, machines, payload):
    def start_all():
        with log.nested("start all machines"):
            for machine in machines:
                machine.start()

    def join_all():
        for machine in machines:
            machine.wait_for_shutdown()

    symbols = {
        "start_all": start_all,
        "join_all": join_all,
        "subtest": subtest,
        "retry": retry,
        "log": log,
        "machines": machines,
        "t": Assertions(),
        # Only in this lane: the file named by --payload, or None.
        "payload": payload,
        "__file__": str(script),
        "__name__": "testScript",
    }
    for machine in machines:
        symbols[re.sub(r"[^A-Za-z0-9_]", "_", machine.name)] = machine
    if len(machines) == 1:
        symbols["machine"] = machines[0]
    exec(compile(script.read_text(), str(script), "exec"), symbols)

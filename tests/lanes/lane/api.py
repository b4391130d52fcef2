"""What a script of nixos-tests may call: the part of NixOS' test driver that this lane has, too, with its meaning and its parameters.

usage: api.py DESCRIPTION...   each a JSON file: {"NAME": {"script": ..., "machines": {...}}}

Looks at scripts without running them. A name that is neither the script's own nor the driver's, a method that the driver does not have, and a
parameter that it does not take are failures, each with its line: NixOS' driver would find them, and it does not run here.
"""

import ast
import builtins
import inspect
import json
import sys
import unittest
from pathlib import Path

# What a machine has: its parameters, and what it means. Times are in seconds; what does not come in its time is a failure.
MACHINE = {
    "name": (None, "what the machine is called in the test"),
    "start": ([], "boots it; on a machine that is up nothing"),
    "shutdown": ([], "switches it off in order, and waits for that"),
    "wait_for_shutdown": ([], "waits until it is off by itself"),
    "crash": ([], "cuts its power: what was not synced to its disk is lost, the rest is there after the next start"),
    "is_up": ([], "whether it was started and has answered"),
    "block": ([], "pulls the cable of the network between the machines; this driver's own way in stays"),
    "unblock": ([], "plugs it in again"),
    "execute": (["command", "check_return", "check_output", "timeout"], "runs a bash command; its status and what it printed"),
    "succeed": (["*commands", "timeout"], "runs each, fails at the first that fails; what they printed"),
    "fail": (["*commands", "timeout"], "the same for commands that must fail"),
    "wait_until_succeeds": (["command", "timeout"], "runs it again and again until it succeeds; what it printed then"),
    "wait_until_fails": (["command", "timeout"], "the same until it fails"),
    "systemctl": (["q", "user"], "runs systemctl; its status and what it printed"),
    "wait_for_unit": (["unit", "user", "timeout"], "waits until it is active; one that failed, or that nothing starts, is a failure at once"),
    "get_unit_property": (["unit", "property", "user"], "one of its properties"),
    "get_unit_info": (["unit", "user"], "all of its properties"),
    "require_unit_state": (["unit", "require_state"], "fails when it is in another state"),
    "start_job": (["jobname", "user"], "systemctl start"),
    "stop_job": (["jobname", "user"], "systemctl stop"),
    "wait_for_file": (["filename", "timeout"], "waits until it is there"),
    "wait_for_open_port": (["port", "addr", "timeout"], "waits until something listens, seen from the machine itself"),
    "wait_for_closed_port": (["port", "addr", "timeout"], "waits until nothing does"),
    "wait_for_open_unix_socket": (["addr", "is_datagram", "timeout"], "the same for a socket in the file system"),
    "copy_from_host": (["source", "target"], "copies a file of the host"),
    "log": (["msg"], "says something in the log"),
    "nested": (["msg", "attrs"], "a step of the log, for `with`"),
}
# What a script finds beside the machines.
GLOBALS = {
    "machines": "all of them, in the order of their names",
    "start_all": "starts all",
    "join_all": "waits until all are off",
    "subtest": "a named part, for `with`",
    "retry": "calls a function, which hears whether it is the last time, until it returns true or the seconds are over",
    "log": "the log",
    "t": "unittest's assertions",
}
LOG = {"info", "warning", "error", "log", "nested"}
VALUES = (str, bytes, list, dict, set, tuple, int, BaseException)


def problems(script, names):
    """What NixOS' driver would not take, each with its line. `names` are the machines'."""
    tree = ast.parse(script)
    machines = {name.replace("-", "_") for name in names} | {"machine"}
    modules = {alias.asname or alias.name: __import__(alias.name) for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    known = set(dir(builtins)) | set(GLOBALS) | machines | set(modules) | _defined(tree)
    values = set().union(*(dir(kind) for kind in VALUES))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield f"line {node.lineno}: write `import {node.module}`"
        elif isinstance(node, ast.Name) and node.id not in known:
            yield f"line {node.lineno}: nothing is called {node.id}"
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, machines, modules, values)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _parameters(node)


def _defined(tree):
    """All names that the script gives to something; that one is used where it has no value yet is found when it runs."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def _attribute(node, machines, modules, values):
    owner = node.value.id if isinstance(node.value, ast.Name) else None
    if owner in modules:
        good = hasattr(modules[owner], node.attr)
    elif owner == "t":
        good = hasattr(unittest.TestCase, node.attr)
    elif owner == "log":
        good = node.attr in LOG
    elif owner in machines:
        good = node.attr in MACHINE
    else:
        # What it is is known when it runs: a machine of a list, or a value.
        good = node.attr in MACHINE or node.attr in values
    if not good:
        yield f"line {node.lineno}: there is no .{node.attr} that NixOS' driver has, too (tests/lanes/lane/api.py has the list)"


def _parameters(node):
    takes = MACHINE.get(node.func.attr, (None,))[0]
    for keyword in node.keywords if takes is not None else []:
        if keyword.arg not in takes:
            yield f"line {node.lineno}: .{node.func.attr} takes no {keyword.arg}"


def lacking(machine):
    """Where a class of this lane is not what is said above."""
    for name, (takes, _) in MACHINE.items():
        if takes is None:
            continue
        method = getattr(machine, name, None)
        if method is None:
            yield f"{machine.__name__} has no {name}"
            continue
        has = [("*" if p.kind is p.VAR_POSITIONAL else "") + p.name for p in inspect.signature(method).parameters.values()]
        if name != "start" and has[1:] != takes:
            yield f"{machine.__name__}.{name} takes {has[1:]}, and it says {takes}"


def main(files):
    scripts = {}
    for file in files:
        scripts.update(json.loads(Path(file).read_text()))
    found = [f"{name}: {problem}" for name, given in scripts.items() for problem in sorted(problems(given["script"], given["machines"]))]
    for problem in found:
        print(f"nixos-tests: {problem}", file=sys.stderr)
    print(f"  scripts that NixOS' test driver takes: {len(scripts) - len({p.split(':')[0] for p in found})}", file=sys.stderr)
    sys.exit(bool(found) or not scripts)


if __name__ == "__main__":
    main(sys.argv[1:])

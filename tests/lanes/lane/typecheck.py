"""Checks the types of the scripts of nixos-tests, and looks for what is written and never used, as NixOS' test driver does before it boots a machine.

usage: typecheck.py DESCRIPTION...   as for api.py; needs the programs mypy and pyflakes3
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# What a script finds, with the types that NixOS' driver gives it; api.py says what it means.
DRIVER = '''\
import unittest
from typing import Any, Callable, ContextManager, Dict, List, Optional, Tuple

class Machine:
    name: str
    def start(self, allow_reboot: bool = False) -> None: ...
    def shutdown(self) -> None: ...
    def wait_for_shutdown(self) -> None: ...
    def crash(self) -> None: ...
    def is_up(self) -> bool: return True
    def block(self) -> None: ...
    def unblock(self) -> None: ...
    def execute(self, command: str, check_return: bool = True, check_output: bool = True, timeout: Optional[int] = 900) -> Tuple[int, str]: return 0, ""
    def succeed(self, *commands: str, timeout: Optional[int] = None) -> str: return ""
    def fail(self, *commands: str, timeout: Optional[int] = None) -> str: return ""
    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str: return ""
    def wait_until_fails(self, command: str, timeout: int = 900) -> str: return ""
    def systemctl(self, q: str, user: Optional[str] = None) -> Tuple[int, str]: return 0, ""
    def wait_for_unit(self, unit: str, user: Optional[str] = None, timeout: int = 900) -> None: ...
    def get_unit_property(self, unit: str, property: str, user: Optional[str] = None) -> str: return ""
    def get_unit_info(self, unit: str, user: Optional[str] = None) -> Dict[str, str]: return {}
    def require_unit_state(self, unit: str, require_state: str = "active") -> None: ...
    def start_job(self, jobname: str, user: Optional[str] = None) -> Tuple[int, str]: return 0, ""
    def stop_job(self, jobname: str, user: Optional[str] = None) -> Tuple[int, str]: return 0, ""
    def wait_for_file(self, filename: str, timeout: int = 900) -> None: ...
    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: int = 900) -> None: ...
    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: int = 900) -> None: ...
    def wait_for_open_unix_socket(self, addr: str, is_datagram: bool = False, timeout: int = 900) -> None: ...
    def copy_from_host(self, source: str, target: str) -> None: ...
    def log(self, msg: str) -> None: ...
    def nested(self, msg: str, attrs: Dict[str, str] = {}) -> ContextManager[None]: ...

class Log:
    def info(self, *args: Any) -> None: ...
    def warning(self, *args: Any) -> None: ...
    def error(self, *args: Any) -> None: ...
    def log(self, message: str) -> None: ...
    def nested(self, message: str) -> ContextManager[None]: ...

machines: List[Machine] = []
log = Log()
t = unittest.TestCase()
def start_all() -> None: ...
def join_all() -> None: ...
def subtest(name: str) -> ContextManager[None]: ...
def retry(fn: Callable[[bool], bool], timeout_seconds: int = 900) -> None: ...
'''
MYPY = ["mypy", "--no-error-summary", "--check-untyped-defs", "--disable-error-code", "empty-body", "--cache-dir", "/dev/null"]
PYFLAKES = ["pyflakes3"]


# A script that is wrong in two ways: that these are found shows that the tools look.
PLANTED = {"planted": {"script": "machine1.succeed(7)\n\n\ndef idle():\n    unused = machine1.name\n", "machines": ["machine1"]}}


def problems(scripts):
    """What is wrong with scripts: their names, each with lines of the script itself."""
    with tempfile.TemporaryDirectory() as folder:
        heads = {}
        for name, given in scripts.items():
            machines = sorted(machine.replace("-", "_") for machine in given["machines"])
            head = DRIVER + "".join(f"{machine} = Machine()\n" for machine in machines)
            file = f"{name.replace('-', '_')}.py"
            Path(folder, file).write_text(head + given["script"])
            heads[file] = (name, head.count("\n"))
        for tool in MYPY, PYFLAKES:
            done = subprocess.run([*tool, *heads], cwd=folder, capture_output=True, text=True)
            for line in (done.stdout + done.stderr).splitlines():
                file, number, words = (*line.split(":", 2), "", "")[:3]
                name, head = heads.get(file, (None, 0))
                if name is None or not number.isdigit():
                    yield tool[0], line
                elif int(number) > head:
                    yield name, f"line {int(number) - head}: {words.strip()}"


def main(files):
    scripts = {}
    for file in files:
        scripts.update(json.loads(Path(file).read_text()))
    found = list(problems(scripts | PLANTED))
    missed = len([name for name, _ in found if name in PLANTED]) != 2
    found = [problem for problem in found if problem[0] not in PLANTED]
    if missed:
        found.append(("planted", "mypy and pyflakes3 do not find what is wrong with a script"))
    for name, problem in found:
        print(f"nixos-tests: {name}: {problem}", file=sys.stderr)
    print(f"  scripts whose types are right: {len(scripts) - len({name for name, _ in found})}", file=sys.stderr)
    sys.exit(bool(found) or not scripts)


if __name__ == "__main__":
    main(sys.argv[1:])

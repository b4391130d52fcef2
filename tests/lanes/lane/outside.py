"""The part of a run that stays on the machine: finds kernel and image, starts the inside in namespaces of its own, and cleans up.

The inside is the first process of a new process namespace with new network and mount namespaces. Whatever ends it (success, failure,
SIGTERM, SIGKILL of either part) ends every guest, link and mount with it; only one folder is left to remove. The leak check proves it.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import assets
from .log import log

MARK = "FLOE_LANE_RUN"
PR_SET_PDEATHSIG = 1
END_TIMEOUT_SECONDS = 10


class Interrupted(Exception):
    """A signal asks this run to end."""


def run(options, program):
    """Runs a script and returns the exit status: 0 when the script passed and nothing was left behind."""
    problem = _problem()
    if problem:
        print(f"lanes: {problem}", flush=True)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        kernel, image = assets.kernel(), assets.image()
    except assets.AssetError as error:
        print(f"lanes: {error}", flush=True)
        return 2
    directory = Path(tempfile.mkdtemp(prefix="floe-lane-"))
    mark = directory.name
    try:
        status = _run_inside(options, program, directory, kernel, image)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    leaks = find_leaks(mark, directory)
    for leak in leaks:
        print(f"LEAK {leak}", flush=True)
    status = status or (3 if leaks else 0)
    script = Path(options.script).name
    nodes = "" if options.systems else f"nodes={options.nodes} "
    print(f"{'PASS' if status == 0 else 'FAIL'} {script} {nodes}wall={log.elapsed():.1f}s", flush=True)
    return status


def _problem():
    if os.geteuid() != 0:
        return "needs root: guests have their own network and mounts. Run it with sudo"
    missing = assets.missing_tools()
    if missing:
        return f"missing packages; apt-get install {' '.join(missing)}"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun: modprobe tun"
    return None


def _interrupt(number, _frame):
    raise Interrupted(signal.Signals(number).name)


def _run_inside(options, program, directory, kernel, image):
    command = [
        "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc",
        sys.executable, program, "--inside", "--directory", str(directory), "--kernel", str(kernel), "--image", str(image),
        "--nodes", options.nodes, "--memory", str(options.memory), options.script,
    ]
    for name in ("payload", "systems", "program"):
        if getattr(options, name):
            command[-1:-1] = [f"--{name}", getattr(options, name)]
    environment = {**os.environ, MARK: directory.name, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True, preexec_fn=_die_with_parent)
    try:
        return process.wait(options.timeout)
    except Interrupted as error:
        print(f"lanes: {error}: ending the machines", flush=True)
        return 143
    except subprocess.TimeoutExpired:
        print(f"lanes: the script took longer than {options.timeout} seconds", flush=True)
        return 124
    finally:
        process.kill()
        process.wait()


def _die_with_parent():
    """Has the kernel end this process when its parent is gone, even by SIGKILL."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def find_leaks(mark, directory):
    """What is left of a run: processes that carry its mark, its folder, mounts below it. Dying processes get a moment."""
    end = time.monotonic() + END_TIMEOUT_SECONDS
    while _marked_processes(mark) and time.monotonic() < end:
        time.sleep(0.05)
    leaks = [f"process {process}" for process in _marked_processes(mark)]
    if directory.exists():
        leaks.append(f"folder {directory}")
    with open("/proc/self/mounts") as mounts:
        leaks += [f"mount {line.strip()}" for line in mounts if mark in line]
    return leaks


def _marked_processes(mark):
    """Processes with the run's mark in their environment, which every child of a run inherits; a zombie has none left."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(f"{entry.name} ({(entry / 'comm').read_text().strip()})")
        except OSError:  # it ended while we looked
            continue
    return found

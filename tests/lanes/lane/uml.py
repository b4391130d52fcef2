"""A machine that is a User-Mode Linux process: its own kernel, systemd, disk and clock; the console on a pipe, a root shell on a socket.

Facts this is built on: `seccomp=on` makes system calls cost about 50 us (ptrace: 60); guest memory is a file in TMPDIR, so TMPDIR is a
tmpfs; the serial line drops input beyond about 4 KiB, so long commands go through a shared folder; one processor, so no cpuset.
"""

import base64
import contextlib
import os
import select
import shlex
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from .machine import DEFAULT_TIMEOUT_SECONDS, Machine, TestFailure, shorten

BOOT_TIMEOUT_SECONDS = 120
# A command that overstays its own timeout is ended inside the guest; a guest that does not answer even then is broken.
ANSWER_GRACE_SECONDS = 30
LINE_LIMIT_BYTES = 3000
SHARED_IN_GUEST = "/run/lane"
READY = b"lane shell ready"


class UmlMachine(Machine):
    """One guest. Its disk is copy-on-write over the image and survives `crash` and `shutdown`."""

    def __init__(self, name, number, directory, switch, kernel, image, memory_mib, hosts, systems=None):
        super().__init__(name)
        self._directory = directory / name
        self._directory.mkdir()
        self._shared = self._directory / "shared"
        self._shared.mkdir()
        self._address = f"192.168.1.{number}"
        self._switch = switch
        self._port = switch.add_port(number)
        self._kernel, self._image, self._memory_mib, self._hosts = kernel, image, memory_mib, hosts
        # The folder that systems.py made, when this machine is what a configuration of NixOS says.
        self._systems = systems
        self._process = None
        self._shell = None
        self._connected = False
        self._console = []
        self._started_at = 0.0

    @property
    def address(self):
        """Its IPv4 address on the machines' network; not a method of the NixOS driver."""
        return self._address

    # Life

    def is_up(self):
        return self._process is not None and self._connected

    def start(self, allow_reboot=False):
        if self._process is not None:
            return
        if allow_reboot:
            raise TestFailure("start(allow_reboot=True) is not supported in this lane; use shutdown() and start()")
        self.log("starting")
        self._started_at = time.monotonic()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                self._command_line(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, "TMPDIR": str(self._directory)},
            )
        self._shell = ours
        threading.Thread(target=self._read_console, args=(self._process.stdout,), daemon=True).start()

    def _command_line(self, shell_fd):
        kernel = [
            str(self._kernel), f"mem={self._memory_mib}M", f"ubd0={self._directory}/disk.cow,{self._image}", "root=/dev/ubda", "rw",
            "con=null", "con0=null,fd:1", "console=tty0", "quiet", "loglevel=4", "panic=-1", "seccomp=on",
            f"ssl0=fd:{shell_fd},fd:{shell_fd}", f"vec0:transport=tap,ifname={self._port},depth=64",
            f"umid={self.name}", f"uml_dir={self._directory}/uml/",
        ]
        guest = [f"lane.name={self.name}", f"lane.address={self._address}/24", "lane.link=vec0", f"lane.hosts={','.join(self._hosts)}"]
        return kernel + guest + ([f"lane.system={self._systems}"] if self._systems else [])

    def _read_console(self, pipe):
        with open(self._directory / "console.log", "ab") as file:
            for raw in pipe:
                self._console.append(raw.decode(errors="replace").rstrip())
                file.write(raw)
                file.flush()

    def get_console_log(self):
        return "\n".join(self._console)

    def shutdown(self):
        if self._process is None:
            return
        self.log("shutting down")
        self.execute("systemctl --no-block poweroff </dev/null >/dev/null 2>&1", check_return=False, check_output=False)
        self.wait_for_shutdown()

    def wait_for_shutdown(self):
        if self._process is not None:
            self._process.wait()
            self._forget()

    def crash(self):
        """Ends the machine at once, as a power cut does: what was not synced is gone."""
        if self._process is None:
            return
        self.log("forced crash")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._forget()

    def _forget(self):
        self._shell.close()
        self._shell = self._process = None
        self._connected = False

    # Not in the NixOS driver; scripts that run there too guard them with hasattr.

    def pause(self):
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self._process.pid, signal.SIGCONT)

    # Network

    def block(self):
        self.log("network cable unplugged")
        self._switch.unplug(self._port)

    def unblock(self):
        self.log("network cable plugged in")
        self._switch.plug(self._port)

    # Shell

    def connect(self):
        """Boots the machine when it is down and waits for its root shell."""
        if self._connected:
            return
        self.start()
        with self.nested("waiting for the machine to boot"):
            received = b""
            deadline = time.monotonic() + BOOT_TIMEOUT_SECONDS
            while READY + b"\n" not in received:
                received += self._receive(deadline, "the root shell")
        self._connected = True
        self.log(f"root shell after {time.monotonic() - self._started_at:.2f} seconds")
        status, output = self._run(f"mkdir -p {SHARED_IN_GUEST} && {_mount_host(self._shared, SHARED_IN_GUEST)} 2>&1", True, True, 10)
        if status != 0:
            raise TestFailure(f"{self.name}: cannot mount the shared folder: {output}")

    def execute(self, command, check_return=True, check_output=True, timeout=DEFAULT_TIMEOUT_SECONDS):
        self.connect()
        script = f"set -euo pipefail; {command}"
        if len(script.encode()) > LINE_LIMIT_BYTES:
            (self._shared / "command").write_text(script)
            script = f". {SHARED_IN_GUEST}/command"
        return self._run(script, check_return, check_output, timeout)

    def _run(self, script, check_return, check_output, timeout):
        limit = "" if timeout is None else f"timeout {timeout} "
        self._shell.sendall(f"{limit}bash -c {shlex.quote(script)} </dev/null | (base64 --wrap 0; echo)\n".encode())
        if not check_output:
            return (-2, "")
        deadline = time.monotonic() + (DEFAULT_TIMEOUT_SECONDS if timeout is None else timeout) + ANSWER_GRACE_SECONDS
        output = base64.b64decode(self._receive_line(deadline, script)).decode(errors="replace")
        if not check_return:
            return (-1, output)
        self._shell.sendall(b"echo ${PIPESTATUS[0]}\n")
        return (int(self._receive_line(deadline, script)), output)

    def _receive_line(self, deadline, what):
        received = b""
        while not received.endswith(b"\n"):
            received += self._receive(deadline, f"an answer to `{shorten(what)}`")
        return received

    def _receive(self, deadline, what):
        """What the guest sent, at least one byte. A dead or silent guest is a failure with the end of its console."""
        while time.monotonic() < deadline:
            if select.select([self._shell], [], [], 0.5)[0]:
                data = self._shell.recv(65536)
                if data:
                    return data
                break
            if self._process.poll() is not None:
                break
        state = "does not answer" if self._process.poll() is None else f"ended with status {self._process.returncode}"
        console = "\n".join(self._console[-60:])
        raise TestFailure(f"{self.name}: waiting for {what}: the machine {state}; its console ends:\n{console}")

    # Files

    def copy_from_host(self, source, target):
        """Copies a file or folder of the host into the guest, which reads the host's file system directly."""
        source = Path(source).resolve()
        mount = f"{SHARED_IN_GUEST}-copy"
        self.succeed(
            f"mkdir -p {mount} $(dirname {shlex.quote(target)}) && {_mount_host(source.parent, mount)}"
            f" && {{ cp -rL {mount}/{shlex.quote(source.name)} {shlex.quote(target)}; status=$?; umount {mount}; exit $status; }}"
        )

    copy_from_host_via_shell = copy_from_host

    def copy_from_machine(self, source, target_dir=""):
        """Copies a file or folder of the guest into $FLOE_LANE_OUT (default: the run's own folder, which goes with it)."""
        out = Path(os.environ.get("FLOE_LANE_OUT") or self._directory / "out") / target_dir
        out.mkdir(parents=True, exist_ok=True)
        mount = f"{SHARED_IN_GUEST}-out"
        self.succeed(
            f"mkdir -p {mount} && {_mount_host(out, mount)}"
            f" && {{ cp -rL {shlex.quote(source)} {mount}/; status=$?; umount {mount}; exit $status; }}"
        )

    copy_from_vm = copy_from_machine


def _mount_host(directory, mount):
    """A command that mounts a folder of the host. Debian 12's mount(8) hands the path over by its own, later ones by name."""
    path = shlex.quote(str(directory))
    return f"{{ mount -t hostfs none {mount} -o {path} 2>/dev/null || mount -t hostfs none {mount} -o hostfs={path}; }}"



"""One machine as a test script sees it: the NixOS test driver's method names, over whatever `start` and `execute` a lane has.

Written from the documented behaviour of that driver. Scripts that use these methods only run under both.
"""

import re
import shlex
import time

from .log import log

POLL_SECONDS = 0.2
DEFAULT_TIMEOUT_SECONDS = 900
SHOWN_CHARACTERS = 240


class TestFailure(AssertionError):
    """What a script asked for did not happen."""


def retry(action, timeout_seconds=DEFAULT_TIMEOUT_SECONDS):
    """Calls `action(last_try)` until it returns true. Machines have no events for "a file appeared", so this polls."""
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if action(False):
            return
        time.sleep(POLL_SECONDS)
    if not action(True):
        raise TestFailure(f"action timed out after {timeout_seconds} seconds")


def shorten(command):
    """A command as the log shows it."""
    return command if len(command) <= SHOWN_CHARACTERS else f"{command[:SHOWN_CHARACTERS]}... ({len(command)} characters)"


class Machine:
    """The methods that need nothing but `execute`."""

    def __init__(self, name):
        self.name = name

    def execute(self, command, check_return=True, check_output=True, timeout=DEFAULT_TIMEOUT_SECONDS):
        """Runs a bash command line and returns (status, standard output)."""
        raise NotImplementedError

    def __repr__(self):
        return f"<machine {self.name}>"

    def log(self, msg):
        log.log(msg, {"machine": self.name})

    def nested(self, msg, attrs=None):
        return log.nested(msg, {"machine": self.name, **(attrs or {})})

    # Commands

    def succeed(self, *commands, timeout=None):
        return "".join(self._expect("succeed", command, timeout, lambda status: status == 0) for command in commands)

    def fail(self, *commands, timeout=None):
        return "".join(self._expect("fail", command, timeout, lambda status: status != 0) for command in commands)

    def _expect(self, verb, command, timeout, holds):
        with self.nested(f"must {verb}: {shorten(command)}"):
            status, output = self.execute(command, timeout=timeout)
            if not holds(status):
                self.log(f"output: {output}")
                raise TestFailure(f"{self.name}: command `{shorten(command)}` should {verb}; it ended with status {status}")
            return output

    def wait_until_succeeds(self, command, timeout=DEFAULT_TIMEOUT_SECONDS):
        return self._wait("success of", command, timeout, lambda status: status == 0)

    def wait_until_fails(self, command, timeout=DEFAULT_TIMEOUT_SECONDS):
        return self._wait("failure of", command, timeout, lambda status: status != 0)

    def _wait(self, what, command, timeout, holds):
        output = ""

        def check(last_try):
            nonlocal output
            status, output = self.execute(command, timeout=timeout)
            if last_try and not holds(status):
                self.log(f"last status {status}, output: {output}")
            return holds(status)

        with self.nested(f"waiting for {what} `{shorten(command)}`"):
            retry(check, timeout)
        return output

    def sleep(self, seconds):
        self.succeed(f"sleep {seconds}")

    # Files, ports, sockets

    def wait_for_file(self, filename, timeout=DEFAULT_TIMEOUT_SECONDS):
        self.wait_until_succeeds(f"test -e {shlex.quote(filename)}", timeout)

    def wait_for_open_port(self, port, addr="localhost", timeout=DEFAULT_TIMEOUT_SECONDS):
        self.wait_until_succeeds(f"nc -z {addr} {port}", timeout)

    def wait_for_closed_port(self, port, addr="localhost", timeout=DEFAULT_TIMEOUT_SECONDS):
        self.wait_until_fails(f"nc -z {addr} {port}", timeout)

    def wait_for_open_unix_socket(self, addr, is_datagram=False, timeout=DEFAULT_TIMEOUT_SECONDS):
        self.wait_until_succeeds(f"nc -z {'-uU' if is_datagram else '-U'} {shlex.quote(addr)}", timeout)

    # systemd

    def systemctl(self, q, user=None):
        if user is None:
            return self.execute(f"systemctl {q}")
        inner = f"XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user {q}"
        return self.execute(f"su -l {user} -s /bin/sh -c {shlex.quote(inner)}")

    def get_unit_info(self, unit, user=None):
        status, output = self.systemctl(f"--no-pager show {shlex.quote(unit)}", user)
        if status != 0:
            raise TestFailure(f"{self.name}: systemctl show {unit} ended with status {status}")
        return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)

    def get_unit_property(self, unit, property, user=None):
        status, output = self.systemctl(f"--no-pager show {shlex.quote(unit)} --property={shlex.quote(property)}", user)
        if status != 0 or "=" not in output:
            raise TestFailure(f"{self.name}: unit {unit} has no property {property}")
        return output.strip().split("=", 1)[1]

    def require_unit_state(self, unit, require_state="active"):
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise TestFailure(f"{self.name}: unit {unit} is {state}, not {require_state}")

    def wait_for_unit(self, unit, user=None, timeout=DEFAULT_TIMEOUT_SECONDS):
        """Waits until the unit is active. A failed unit, or one that nothing will start, ends the wait at once."""

        def is_active(_last_try):
            state = self.get_unit_property(unit, "ActiveState", user)
            if state == "failed":
                _, journal = self.execute(f"journalctl --no-pager --lines 20 --unit {shlex.quote(unit)}")
                raise TestFailure(f"{self.name}: unit {unit} failed\n{journal}")
            if state == "inactive":
                _, jobs = self.systemctl("list-jobs --full 2>&1", user)
                if "No jobs" in jobs and self.get_unit_property(unit, "ActiveState", user) == state:
                    raise TestFailure(f"{self.name}: unit {unit} is inactive and no job is pending")
            return state == "active"

        with self.nested(f"waiting for unit {unit}"):
            retry(is_active, timeout)

    def start_job(self, jobname, user=None):
        return self.systemctl(f"start {shlex.quote(jobname)}", user)

    def stop_job(self, jobname, user=None):
        return self.systemctl(f"stop {shlex.quote(jobname)}", user)

    # Console

    def get_console_log(self):
        raise NotImplementedError

    def wait_for_console_text(self, regex, timeout=DEFAULT_TIMEOUT_SECONDS):
        with self.nested(f"waiting for {regex!r} on the console"):
            retry(lambda _last_try: re.search(regex, self.get_console_log()) is not None, timeout)

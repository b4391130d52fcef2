#!/usr/bin/env python3
"""Tests of the lane itself: a script that fails is a failure, and nothing stays behind however a run ends. Boots machines; needs root."""

import sys

sys.dont_write_bytecode = True

import os  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import unittest  # noqa: E402
from pathlib import Path  # noqa: E402

from lane import api, assets, outside, uml  # noqa: E402

RUN = Path(__file__).resolve().parent / "run"
UP = "machine.succeed('true')\nprint('MACHINE UP', flush=True)\n"
FOREVER = UP + "machine.succeed('sleep 600')\n"


class Lane(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "tmp").mkdir()

    def start(self, text, *arguments):
        """Starts a run of a script with this text; its folder is made below a folder of this test."""
        script = self.folder / "script.py"
        script.write_text(text)
        environment = {**os.environ, "TMPDIR": str(self.folder / "tmp")}
        process = subprocess.Popen([RUN, *arguments, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        self.addCleanup(process.stdout.close)
        return process

    def finish(self, process):
        output = process.stdout.read()
        return process.wait(timeout=60), output

    def wait_until_up(self, process):
        for line in process.stdout:
            if "MACHINE UP" in line:
                return
        self.fail("the machine did not come up")

    def runs_below_tmp(self):
        return list((self.folder / "tmp").iterdir())

    def test_a_script_that_passes_is_a_pass(self):
        status, output = self.finish(self.start(UP))
        self.assertEqual(status, 0, output)
        self.assertIn("PASS script.py", output)
        self.assertEqual(self.runs_below_tmp(), [])

    def test_a_script_that_fails_is_a_failure_and_says_where(self):
        status, output = self.finish(self.start("with subtest('one'):\n    machine.succeed('echo said; exit 7')\n"))
        self.assertEqual(status, 1, output)
        for part in ("output: said", "ended with status 7", "script.py\", line 2", "FAIL script.py"):
            self.assertIn(part, output)

    def test_an_unexpected_success_a_dead_machine_and_an_error_in_the_script_are_failures(self):
        for text, part in (
            ("machine.fail('true')", "should fail"),
            ("machine.wait_until_succeeds('false', timeout=1)", "timed out after 1 seconds"),
            ("machine.succeed('echo c >/proc/sysrq-trigger', timeout=10)", "the machine"),
            ("machine.wait_for_unit('no-such.service')", "is inactive and no job is pending"),
            ("nonsense", "NameError"),
        ):
            with self.subTest(text):
                status, output = self.finish(self.start(text))
                self.assertEqual(status, 1, output)
                self.assertIn(part, output)

    def test_a_script_that_takes_too_long_is_ended(self):
        status, output = self.finish(self.start(FOREVER, "--timeout", "8"))
        self.assertEqual(status, 124, output)
        self.assertIn("took longer than 8 seconds", output)
        self.assertEqual(self.runs_below_tmp(), [])

    def test_a_terminated_run_leaves_nothing(self):
        process = self.start(FOREVER)
        self.wait_until_up(process)
        (run,) = self.runs_below_tmp()
        process.send_signal(signal.SIGTERM)
        status, output = self.finish(process)
        self.assertEqual(status, 143, output)
        self.assertNotIn("LEAK", output)
        self.assertEqual(outside.find_leaks(run.name, run), [])

    def test_a_killed_run_leaves_nothing_but_its_empty_folder(self):
        process = self.start(FOREVER)
        self.wait_until_up(process)
        (run,) = self.runs_below_tmp()
        process.kill()
        process.wait()
        self.assertEqual(outside.find_leaks(run.name, run), [f"folder {run}"])
        self.assertEqual(list(run.iterdir()), [])

    def test_machines_reach_each_other_until_one_is_blocked(self):
        ping = "ping -c 1 -W 1"
        script = (
            "start_all()\ntwo.wait_for_unit('multi-user.target')\n"
            f"one.succeed('{ping} two')\n"
            f"two.block()\none.fail('{ping} two')\n"
            f"two.unblock()\none.wait_until_succeeds('{ping} two', timeout=20)\n"
        )
        status, output = self.finish(self.start(script, "--nodes", "one,two", "--memory", "256"))
        self.assertEqual(status, 0, output)

    def test_a_run_leaves_the_image_as_the_machines_of_another_one_know_it(self):
        before = assets.image().stat().st_mtime_ns
        self.assertEqual(assets.image().stat().st_mtime_ns, before)

    def test_the_leak_check_finds_a_process_and_a_folder(self):
        mark, folder = "floe-lane-planted", self.folder / "floe-lane-planted"
        folder.mkdir()
        self.addCleanup(setattr, outside, "END_TIMEOUT_SECONDS", outside.END_TIMEOUT_SECONDS)
        outside.END_TIMEOUT_SECONDS = 0.1
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(["cat"], env={outside.MARK: mark}, text=True, bufsize=1, **pipes) as process:
            # Its environment can be read only when its exec is over, and until then it does not answer.
            process.stdin.write("there?\n")
            self.assertEqual(process.stdout.readline(), "there?\n")
            found = outside.find_leaks(mark, folder)
        self.assertEqual(found, [f"process {process.pid} (cat)", f"folder {folder}"])


class Scripts(unittest.TestCase):
    """What is said of the scripts of nixos-tests without running them."""

    def test_this_lane_has_what_scripts_may_call(self):
        self.assertEqual(list(api.lacking(uml.UmlMachine)), [])

    def test_a_script_of_the_drivers_own_calls_has_no_problem(self):
        script = (
            "import json\nstart_all()\nwith subtest('x'):\n    for m in [one, *machines]:\n        m.crash()\n"
            "    t.assertEqual(json.loads(one.succeed('echo 1', timeout=3)), 1)\n    retry(lambda last: last, 5)\n"
        )
        self.assertEqual(list(api.problems(script, ["one"])), [])

    def test_what_the_driver_does_not_have_is_found_with_its_line(self):
        for text, part in (
            ("one.succed('true')", "line 1: there is no .succed"),
            ("for m in machines:\n    m.pause()", "line 2: there is no .pause"),
            ("one.address", "line 1: there is no .address"),
            ("two.start()", "line 1: nothing is called two"),
            ("print(payload)", "line 1: nothing is called payload"),
            ("one.succeed('true', seconds=3)", "line 1: .succeed takes no seconds"),
            ("t.assertEqal(1, 1)", "line 1: there is no .assertEqal"),
            ("import json\njson.lods('1')", "line 2: there is no .lods"),
        ):
            with self.subTest(text):
                self.assertIn(part, "\n".join(api.problems(text, ["one"])))


if __name__ == "__main__":
    unittest.main(verbosity=2)

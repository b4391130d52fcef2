"""The system tests of the crates, on a machine with systemd and cgroup v2. One machine with 1024 MiB.

Build machines often have cgroup v1, where the same tests take other paths through the code. The payload is a list of executables, one
absolute path a line: those that end in `!` are only called by the others. Each goes to its own path in the guest, because the tests
have paths compiled in. `./dev test` makes the list.
"""

import os
import re
import shlex

TIMEOUT_SECONDS = 300


def links():
    """Which links there are. A kernel makes some of its own, and which ones depends on how it was built."""
    return set(machine.succeed("ls /sys/class/net").split())


machine.wait_for_unit("multi-user.target")
links_before = links()
t.assertEqual(machine.succeed("stat --file-system --format %T /sys/fs/cgroup").strip(), "cgroup2fs")
with open(payload) as file:
    executables = file.read().split()
t.assertTrue(executables, "the list of executables is empty")

for path in executables:
    machine.copy_from_host(path.removesuffix("!"), path.removesuffix("!"))

total = 0
for path in (path for path in executables if not path.endswith("!")):
    with subtest(os.path.basename(path)):
        status, output = machine.execute(f"cd /root && {shlex.quote(path)} --test-threads 2 2>&1", timeout=TIMEOUT_SECONDS)
        passed = re.search(r"^test result: ok\. (\d+) passed", output, re.MULTILINE)
        if status != 0 or not passed:
            machine.log(output[-8000:])
        t.assertEqual(status, 0, "a test failed; its output is above")
        t.assertTrue(passed, "the executable is no test")
        machine.log(passed.group())
        total += int(passed.group(1))
t.assertGreater(total, 0, "no test ran")

with subtest("nothing is left on the machine"):
    machine.fail("ls -d /sys/fs/cgroup/floe* /run/netns/*")
    t.assertEqual(links() - links_before, set())
    t.assertEqual(machine.succeed("nft list tables"), "")

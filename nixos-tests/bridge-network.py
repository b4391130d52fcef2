start_all()


def state(machine):
    """The links, named network namespaces, mounts and translated ports of the machine."""
    return set(
        machine.succeed(
            "ip -o link | cut -d: -f2 | cut -d@ -f1; find /run -path '*netns/*'; cut -d' ' -f2 /proc/mounts;"
            " nft list ruleset | grep -o '808[01].*' || true"
        ).splitlines()
    )


def answer(machine, host, port):
    return get(machine, f"http://{host}:{port}/").strip()


left.wait_for_unit("floe.service")
wait_for("left is there", lambda: ready(left) == ["left"])
let_in(right, left)
wait_for("both are there", lambda: ready(left) == ["left", "right"])

before = {machine: state(machine) for machine in machines}

with subtest("two allocations reach each other by ports of their machines"):
    for name in ("left", "right"):
        left.succeed(f"floe job run /etc/jobs/{name}.json >&2", timeout=120)
    for host, other in (("left", "right"), ("right", "left")):
        wait_for(f"{host} serves its own page", lambda: answer(left, host, 8080) == host)
        wait_for(f"{host} asked the other", lambda: answer(right, host, 8081) == other)

with subtest("a cut cable comes between them, and a whole one brings them together"):
    right.block()
    left.fail("curl --silent --fail --max-time 3 http://right:8080/")
    t.assertEqual(answer(left, "left", 8080), "left")
    right.unblock()
    wait_for("it answers", lambda: answer(left, "right", 8080) == "right")

with subtest("nothing stays behind"):
    for name in ("left", "right"):
        left.succeed(f"floe job stop -purge {name} >&2", timeout=120)
    for machine in machines:
        machine.wait_until_fails("pgrep --exact busybox", timeout=60)
        # The node keeps its bridge for the next allocation, and what translates ports, which has none.
        wait_for("nothing is left", lambda: {line.strip() for line in state(machine) - before[machine]} <= {"floe"})
        machine.fail(f"curl --silent --fail --max-time 2 http://{machine.name}:8080/")

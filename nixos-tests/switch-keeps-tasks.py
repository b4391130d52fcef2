machine.wait_for_unit("floe.service")
wait_for("the node is ready", lambda: ready(machine) == ["machine"])
machine.succeed("floe job run /etc/jobs/web.json >&2", timeout=120)
wait_for("the page is there", lambda: page(machine, "192.168.1.1") == "hello")
pid = task(machine)
agents = [agent(machine)]


def program():
    return machine.succeed(f"readlink /proc/{agent(machine)}/exe").strip()


def switched(name):
    switch(machine, name)
    agents.append(agent(machine))
    t.assertEqual(task(machine), pid)
    wait_for("it runs", lambda: running(machine, "web") == ["machine"] and page(machine, "192.168.1.1") == "hello")
    t.assertEqual(task(machine), pid)


with subtest("a switch that changes nothing of floe's leaves the agent alone"):
    switched("other")
    t.assertEqual(machine.succeed("cat /etc/other"), "not floe's")
    t.assertEqual(agents[-1], agents[-2])

with subtest("a switch of its settings restarts the agent, and no task"):
    switched("settings")
    t.assertNotEqual(agents[-1], agents[-2])
    t.assertEqual(json.loads(machine.succeed("cat /etc/floe/agent.json"))["log_level"], "debug")
    machine.fail("test -e /etc/other")

with subtest("a switch of its version restarts the agent, and no task"):
    old = program()
    switched("version")
    t.assertNotEqual(agents[-1], agents[-2])
    t.assertNotEqual(program(), old)
    t.assertEqual(machine.succeed("readlink --canonicalize $(type -P floe)").strip(), program())

with subtest("and so does the switch back"):
    switched("base")
    t.assertEqual(program(), old)

with subtest("a task that an older floe started is stopped by the newer one"):
    switched("version")
    machine.succeed("floe job stop -purge web >&2", timeout=120)
    machine.wait_until_fails("pgrep --exact busybox", timeout=60)

machine.wait_for_unit("floe.service")

with subtest("one machine is a cluster"):
    wait_for("its node is ready", lambda: ready(machine) == ["machine"])
    t.assertEqual(voters(machine), ["machine"])
    wait_for("it says what it is", lambda: machine.get_unit_property("floe.service", "StatusText").startswith("server"))

with subtest("a job runs"):
    machine.succeed("floe job run /etc/jobs/web.json >&2", timeout=120)
    wait_for("the page is there", lambda: page(machine, "192.168.1.1") == "hello")
    pid = task(machine)

with subtest("a restart of the agent does not touch it"):
    before = agent(machine)
    machine.succeed("systemctl restart floe.service", timeout=60)
    t.assertNotEqual(agent(machine), before)
    t.assertEqual(task(machine), pid)
    wait_for("it runs", lambda: running(machine, "web") == ["machine"] and page(machine, "192.168.1.1") == "hello")

with subtest("an agent that hangs is replaced, and its tasks run on"):
    write(machine, "/run/systemd/system/floe.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n", "0644")
    machine.succeed("systemctl daemon-reload", "systemctl restart floe.service", timeout=60)
    before = agent(machine)
    machine.succeed(f"kill -STOP {before}")
    wait_for("another one runs", lambda: agent(machine) not in (before, "0") and machine.systemctl("is-active floe.service")[0] == 0)
    t.assertIn("Watchdog timeout", says(machine))
    t.assertEqual(task(machine), pid)

with subtest("a stop ends the agent and no task"):
    machine.succeed("systemctl stop floe.service", timeout=60)
    t.assertEqual(machine.get_unit_property("floe.service", "Result"), "success")
    t.assertEqual(task(machine), pid)

with subtest("after a reboot it starts by itself, and so does the job"):
    machine.shutdown()
    machine.start()
    machine.wait_for_unit("floe.service")
    wait_for("the page is there", lambda: page(machine, "192.168.1.1") == "hello")

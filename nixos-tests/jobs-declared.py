machine.wait_for_unit("floe.service")
wait_for("the node is ready", lambda: ready(machine) == ["machine"])


def job(name):
    return ask(machine, f"/v1/job/{name}")


def said():
    return machine.succeed("journalctl --no-pager --boot --unit floe-jobs.service --output cat")


with subtest("what is declared is there after the boot"):
    wait_for("the job is there", lambda: job("sweep")["Meta"]["floe.declared-by"] == "machine")
    t.assertIn("1 created", said())

machine.succeed("floe job run /etc/jobs/web.json >&2", timeout=120)
wait_for("the page is there", lambda: page(machine, "192.168.1.1") == "hello")
pid = task(machine)

with subtest("a switch brings what was edited, and the agent does not restart for it"):
    before = agent(machine)
    switch(machine, "edited")
    wait_for("the job is the new one", lambda: job("sweep")["Priority"] == 70)
    t.assertEqual(agent(machine), before)

with subtest("what is not declared any more is stopped, and what was run by hand is left alone"):
    switch(machine, "none")
    wait_for("it is stopped", lambda: job("sweep")["Stop"])
    t.assertFalse(job("web")["Stop"])
    t.assertEqual(task(machine), pid)

with subtest("what somebody ran by hand is not taken over"):
    switch(machine, "taken")
    wait_for("it says so", lambda: "web" in said() and machine.get_unit_property("floe-jobs.service", "Result") == "exit-code")
    t.assertNotIn("floe.declared-by", job("web").get("Meta") or {})
    t.assertEqual(task(machine), pid)

with subtest("what comes back runs again"):
    switch(machine, "base")
    wait_for("it is there", lambda: not job("sweep")["Stop"] and job("sweep")["Priority"] == 50)

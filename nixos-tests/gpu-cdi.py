def gpus():
    """The devices of the only node that may be given."""
    (node,) = ask(machine, "/v1/nodes")
    groups = ask(machine, f"/v1/node/{node['ID']}")["NodeResources"]["Devices"] or []
    return sorted(f"{g['Vendor']}/{g['Type']} {i['ID']}" for g in groups for i in g["Instances"] if i["Healthy"])


def outputs(job):
    """What the tasks of a job that run have said."""
    found = [a["ID"] for a in ask(machine, f"/v1/job/{job}/allocations") if a["ClientStatus"] == "running"]
    return sorted(get(machine, f"{API}/v1/client/fs/logs/{id}?task=look&type=stdout&plain=true").strip() for id in found)


def processes():
    return sorted(machine.succeed("pgrep --exact busybox").split())


machine.wait_for_unit("floe.service")
wait_for("its node is ready", lambda: ready(machine) == ["machine"])

with subtest("the node shows what the generator wrote, each GPU once"):
    wait_for("two GPUs", lambda: gpus() == ["nvidia/gpu 0", "nvidia/gpu 1"])
    t.assertIn("nvidia-container-toolkit-cdi-generator.service", machine.get_unit_property("floe.service", "Wants"))
    t.assertNotIn("nvidia-container-toolkit-cdi-generator.service", machine.get_unit_property("floe.service", "Requires"))

with subtest("each task has a GPU of its own, with its driver"):
    machine.succeed("floe job run /etc/jobs/train.json >&2", timeout=120)
    wait_for("both have looked", lambda: outputs("train") == ["saw nvidia0 void 580", "saw nvidia1 void 580"])

with subtest("a task that asks for none sees none"):
    machine.succeed("floe job run /etc/jobs/none.json >&2", timeout=120)
    wait_for("it has looked, and found nothing", lambda: outputs("none") == ["saw"])

with subtest("who finds none left waits, and hears why"):
    machine.succeed("floe job run -detach /etc/jobs/more.json >&2", timeout=120)
    wait_for("it is said", lambda: 'Dimension "device nvidia/gpu" exhausted on 1 node' in machine.succeed("floe job status more"))

with subtest("when the generator is gone, the agent and the tasks go on"):
    before, tasks = agent(machine), processes()
    machine.succeed("systemctl stop nvidia-container-toolkit-cdi-generator.service")
    wait_for("the node shows no GPUs", lambda: gpus() == [])
    t.assertEqual((agent(machine), processes()), (before, tasks))

with subtest("when it is back, so are the GPUs, and who waits gets one that is free"):
    machine.succeed("systemctl start nvidia-container-toolkit-cdi-generator.service")
    wait_for("two GPUs", lambda: gpus() == ["nvidia/gpu 0", "nvidia/gpu 1"])
    t.assertEqual((agent(machine), running(machine, "more")), (before, []))
    machine.succeed("floe job stop train >&2", timeout=120)
    wait_for("the one that waited runs", lambda: outputs("more") in (["saw nvidia0 void 580"], ["saw nvidia1 void 580"]))

with subtest("after a reboot the GPUs are there when the agent looks for the first time"):
    machine.shutdown()
    machine.start()
    machine.wait_for_unit("floe.service")
    wait_for("it runs again", lambda: outputs("more") in (["saw nvidia0 void 580"], ["saw nvidia1 void 580"]))

SERVERS = [server1, server2, server3]
CLIENTS = [client1, client2]
NAMES = ["server1", "server2", "server3"]


def by_name(name):
    return next(m for m in machines if m.name == name)


def well(machine):
    return ask(machine, "/v1/operator/autopilot/health")["Healthy"] and voters(machine) == NAMES


start_all()

with subtest("a server that waits for the others counts as started"):
    share_secrets(SERVERS)
    server1.wait_for_unit("floe.service")
    t.assertIn("waiting to begin a cluster of 3 servers", server1.get_unit_property("floe.service", "StatusText"))

with subtest("three servers begin a cluster"):
    for machine in SERVERS:
        machine.wait_for_unit("floe.service")
        wait_for(f"{machine.name} knows three voters", lambda: voters(machine) == NAMES)
    wait_for("one leads", lambda: leader(server1) in NAMES)

with subtest("a server without a client has no rights"):
    status = server1.succeed(f"cat /proc/{agent(server1)}/status")
    t.assertRegex(status, r"CapEff:\s+0+\n")
    t.assertRegex(status, r"NoNewPrivs:\s+1\n")
    t.assertRegex(status, r"Seccomp:\s+2\n")
    t.assertEqual(server1.succeed(f"ps -o user= -p {agent(server1)}").strip(), "floe")
    t.assertEqual(server1.succeed("stat --format '%U %a' /var/lib/floe /var/lib/floe/identity").split(), ["floe", "700", "floe", "600"])

with subtest("clients without a token say so, and join with one"):
    wait_for("it says what is missing", lambda: "make a token on a server" in says(client1))
    for machine in CLIENTS:
        let_in(machine, server1)
    wait_for("both are in", lambda: ready(server2) == ["client1", "client2"])

with subtest("the RPC port is open to the others, and to nobody else"):
    server2.succeed("nc -z server1 4647")
    # An address of the same network that the inventory does not name.
    server2.succeed("ip address add 192.168.1.99/24 dev $(ip -o route get 192.168.1.3 | sed 's/.* dev \\([^ ]*\\) .*/\\1/')")
    server2.fail("nc -z -w 3 -s 192.168.1.99 server1 4647")
    server2.succeed("ip address delete 192.168.1.99/24 dev $(ip -o route get 192.168.1.3 | sed 's/.* dev \\([^ ]*\\) .*/\\1/')")
    client1.fail("nc -z -w 3 server1 4646")

with subtest("a job runs on both clients"):
    client1.succeed("floe job run /etc/jobs/web-twice.json >&2", timeout=120)
    wait_for("the pages are there", lambda: page(server1, "client1") == page(server1, "client2") == "hello")
    tasks = {machine: task(machine) for machine in CLIENTS}

with subtest("the leader's machine loses its power"):
    lost = by_name(leader(server1))
    rest = [m for m in SERVERS if m is not lost]
    lost.crash()
    wait_for("another one leads", lambda: leader(rest[0]) in [m.name for m in rest])
    rest[1].succeed("floe job run -detach /etc/jobs/web-twice.json >&2", timeout=60)
    lost.start()
    wait_for("it is back", lambda: well(lost))

with subtest("a server that is cut off is not missed, and follows when it is back"):
    lonely = by_name(leader(server1))
    rest = [m for m in SERVERS if m is not lonely]
    lonely.block()
    wait_for("another one leads", lambda: leader(rest[0]) in [m.name for m in rest])
    lonely.unblock()
    wait_for("it follows", lambda: leader(lonely) == leader(rest[0]) and well(lonely))

with subtest("servers are restarted one after the other"):
    for machine in SERVERS:
        machine.succeed("systemctl restart floe.service", timeout=60)
        wait_for("all are well", lambda: well(machine))
        # While it goes on the others write.
        other = next(m for m in SERVERS if m is not machine)
        other.succeed("floe job run -detach /etc/jobs/web-twice.json >&2", timeout=60)

with subtest("no task noticed"):
    t.assertEqual({machine: task(machine) for machine in CLIENTS}, tasks)
    t.assertEqual(ready(server1), ["client1", "client2"])
    t.assertEqual(running(server1, "web"), ["client1", "client2"])

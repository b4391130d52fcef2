SERVERS = [server1, server2, server3]
start_all()

with subtest("three servers, a client, a job"):
    share_secrets(SERVERS)
    wait_for("all three vote", lambda: voters(server1) == ["server1", "server2", "server3"])
    let_in(client1, server1)
    wait_for("the node is ready", lambda: ready(server1) == ["client1"])
    server1.succeed("floe job run /etc/jobs/web.json >&2", timeout=120)
    wait_for("the page is there", lambda: page(server1, "client1") == "hello")
    pid = task(client1)

with subtest("two of three are gone: what runs goes on, and what is known can be read"):
    for machine in (server2, server3):
        machine.crash()
    stale = f"curl --silent --show-error --include --max-time 5 '{API}/v1/jobs?stale'"
    wait_for("it knows no leader", lambda: "x-nomad-knownleader: false" in server1.succeed(stale).lower())
    t.assertEqual([job["ID"] for job in ask(server1, "/v1/jobs?stale")], ["web"])
    t.assertEqual(page(server1, "client1"), "hello")

with subtest("a change is refused, with the names of those that are missing"):
    status, said = server1.execute("floe job stop web 2>&1", timeout=120)
    t.assertNotEqual(status, 0)
    for name in ("server2", "server3"):
        t.assertIn(name, said)

with subtest("a task that ends is started again without servers"):
    client1.succeed(f"kill -KILL {pid}")
    wait_for("there is another one", lambda: task(client1) != pid and page(server1, "client1") == "hello")
    pid = task(client1)

with subtest("what is left becomes a cluster of its own"):
    server1.succeed("systemctl stop floe.service", timeout=60)
    # As the user whose data it is.
    recover = "runuser -u floe -- floe operator recover -data-dir /var/lib/floe"
    t.assertIn("Nothing was changed", server1.succeed(recover))
    server1.succeed(f"{recover} -confirm >&2", "systemctl start floe.service", timeout=60)
    wait_for("it is alone", lambda: voters(server1) == ["server1"] and leader(server1) == "server1")
    wait_for("the client is there", lambda: ready(server1) == ["client1"] and running(server1, "web") == ["client1"])
    server1.succeed("floe job run -detach /etc/jobs/web.json >&2", timeout=60)
    t.assertEqual(task(client1), pid)

with subtest("an old server that comes back is refused, and says so"):
    server2.start()
    wait_for("it says so", lambda: "this server was removed from the cluster" in says(server2))
    t.assertEqual(voters(server1), ["server1"])

with subtest("with an empty folder and a token it is a new server"):
    server2.succeed("systemctl stop floe.service", "find /var/lib/floe -mindepth 1 -delete", timeout=60)
    let_in(server2, server1, "server")
    server2.succeed("systemctl start floe.service", timeout=60)
    wait_for("it votes", lambda: voters(server1) == ["server1", "server2"])
    wait_for("it has the job", lambda: [job["ID"] for job in ask(server2, "/v1/jobs")] == ["web"])

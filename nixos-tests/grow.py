NAMES = ["server1", "server2", "server3"]
start_all()

with subtest("one server is a cluster"):
    share_secrets([server1])
    wait_for("it votes", lambda: voters(server1) == ["server1"])
    server2.fail("systemctl cat floe.service")
    key = server1.succeed("cat /root/key")

with subtest("the declaration has three, and each new one joins with a token"):
    # The one that is there is switched first: its firewall lets the new ones in then.
    switch(server1, "three")
    for machine in (server2, server3):
        let_in(machine, server1, "server")
        secret(machine, "keyring-key", key)
        switch(machine, "three")
    for machine in machines:
        wait_for(f"{machine.name} knows three voters", lambda: voters(machine) == NAMES)
        machine.succeed("rm -f /var/lib/secrets/join-token")

with subtest("any of them may go now"):
    lost = next(m for m in machines if m.name == leader(server2))
    rest = [m for m in machines if m is not lost]
    lost.succeed("systemctl stop floe.service", timeout=60)
    rest[0].succeed("floe job run -detach /etc/jobs/web.json >&2", timeout=60)
    lost.succeed("systemctl start floe.service", timeout=60)
    wait_for("it has what it missed", lambda: [job["ID"] for job in ask(lost, "/v1/jobs")] == ["web"])

with subtest("a server becomes a client, too, and goes back"):
    for name, owner in [("both", "root"), ("three", "floe")]:
        if name == "three":
            server1.succeed("floe job stop -purge web >&2", timeout=120)
        switch(server2, name)
        t.assertEqual(server2.succeed("stat --format %U /var/lib/floe /var/lib/floe/identity /var/lib/floe/server").split(), [owner] * 3)
        wait_for(f"it is back, as {owner}", lambda: voters(server2) == NAMES)
        if name == "both":
            wait_for("it runs what was asked for", lambda: page(server1, "server2") == "hello")

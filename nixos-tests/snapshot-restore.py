start_all()


def keys():
    return server1.succeed("floe operator root keyring list")


with subtest("a cluster with a job"):
    share_secrets([server1])
    wait_for("it is a cluster", lambda: voters(server1) == ["server1"])
    let_in(client1, server1)
    wait_for("the node is ready", lambda: ready(server1) == ["client1"])
    server1.succeed("floe job run /etc/jobs/web.json >&2", timeout=120)
    wait_for("the page is there", lambda: page(server1, "client1") == "hello")
    pid = task(client1)
    wait_for("it has a root key", lambda: "active" in keys())
    before = keys()
    node = ask(server1, "/v1/nodes")[0]["ID"]

with subtest("a snapshot is saved and is whole"):
    server1.succeed("floe operator snapshot save /root/it.snap >&2", "floe operator snapshot verify /root/it.snap >&2")

with subtest("a job that was purged comes back with it"):
    server1.succeed("floe job stop -purge -detach web >&2", timeout=60)
    wait_for("it is gone", lambda: ask(server1, "/v1/jobs") == [])
    server1.succeed("floe operator snapshot restore /root/it.snap >&2", timeout=60)
    wait_for("it runs", lambda: running(server1, "web") == ["client1"] and page(server1, "client1") == "hello")
    pid = task(client1)

with subtest("another one is saved, and the server's disk is lost"):
    server1.succeed("floe operator snapshot save -overwrite /root/it.snap >&2")
    server1.succeed("systemctl stop floe.service", "find /var/lib/floe -mindepth 1 -delete", timeout=60)
    t.assertEqual(task(client1), pid)

with subtest("a new server begins with the snapshot"):
    # With the rights and the secrets that the unit has.
    run = (
        "systemd-run --quiet --wait --pipe --property User=floe --property UMask=0077 --property StateDirectory=floe"
        " --property LoadCredential=keyring-key:/var/lib/secrets/keyring-key"
    )
    server1.succeed("install -m 0400 -o floe /root/it.snap /run/it.snap")
    server1.succeed(
        f"{run} $(type -P floe) operator recover -from-snapshot /run/it.snap -config /etc/floe/agent.json -confirm >&2",
        "systemctl start floe.service",
        timeout=60,
    )
    wait_for("it is a cluster", lambda: voters(server1) == ["server1"])

with subtest("the client comes back by itself, and its task never noticed"):
    wait_for("it is ready", lambda: ready(server1) == ["client1"] and running(server1, "web") == ["client1"])
    t.assertEqual([n["ID"] for n in ask(server1, "/v1/nodes")], [node])
    t.assertEqual(task(client1), pid)

with subtest("the keys work"):
    for line in before.splitlines()[1:]:
        t.assertIn(line.split()[0], keys())
    server1.succeed("floe operator root keyring rotate >&2", timeout=60)
    let_in(client1, server1)

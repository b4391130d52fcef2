start_all()


def as_nobody(machine, command):
    return machine.execute(f"runuser -u nobody -- {command}")[0]


def nobody_reads(machine, *paths):
    for path in paths:
        machine.succeed(f"test -e {path}")
        t.assertNotEqual(as_nobody(machine, f"cat {path}"), 0, f"everybody reads {path}")


def nowhere(machine, text):
    """What everybody sees of an agent says nothing of the secret."""
    t.assertGreater(len(text), 20)
    seen = machine.succeed(
        f"cat /etc/floe/agent.json; systemctl cat floe.service; systemctl show floe.service; tr '\\0' '\\n' </proc/{agent(machine)}/cmdline;"
        f" tr '\\0' '\\n' </proc/{agent(machine)}/environ; journalctl --no-pager --boot"
    )
    t.assertIn("credentials", seen)
    t.assertNotIn(text, seen)


with subtest("without the key that it was promised a server does not run, and says which"):
    wait_for("it says so", lambda: "keyring-key" in says(server1) or "credentials" in says(server1))
    server1.fail("systemctl is-active floe.service")

with subtest("it starts by itself when the key is there"):
    share_secrets([server1])
    wait_for("it is a cluster", lambda: voters(server1) == ["server1"])
    t.assertIn("active", server1.succeed("floe operator root keyring list"), "the key that it was given wraps root keys")

with subtest("a client joins with a token, which nobody else sees"):
    token = server1.succeed("floe server token -client 2>/dev/null").strip()
    secret(client1, "join-token", token)
    wait_for("it is in", lambda: ready(server1) == ["client1"])
    nowhere(client1, token)
    nowhere(server1, server1.succeed("cat /root/key").strip())

with subtest("nobody reads the secrets, nor what is made of them"):
    nobody_reads(client1, "/var/lib/secrets/join-token", "/run/credentials/floe.service/join-token", "/var/lib/floe/identity")
    nobody_reads(server1, "/var/lib/secrets/keyring-key", "/run/credentials/floe.service/keyring-key", "/var/lib/floe/identity")
    for machine in machines:
        t.assertNotEqual(as_nobody(machine, "ls /var/lib/floe"), 0)

with subtest("what served once may go"):
    client1.succeed("rm /var/lib/secrets/join-token", "systemctl restart floe.service", timeout=60)
    wait_for("it is back", lambda: ready(server1) == ["client1"])
    t.assertEqual(client1.succeed("cat /run/credentials/floe.service/join-token").strip(), "")

with subtest("and so it is after a reboot"):
    server1.shutdown()
    client1.shutdown()
    start_all()
    wait_for("both are back", lambda: ready(server1) == ["client1"])
    t.assertIn("active", server1.succeed("floe operator root keyring list"))

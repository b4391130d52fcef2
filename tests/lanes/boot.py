"""The lane itself: a real machine boots, and has the kernel features that floe and its tests need. One machine.

The other scripts rely on what is proved here, so that their failures speak of floe.
"""

machine.wait_for_unit("multi-user.target")

with subtest("cgroup v2 with the controllers that limits need"):
    t.assertEqual(machine.succeed("stat --file-system --format %T /sys/fs/cgroup").strip(), "cgroup2fs")
    controllers = machine.succeed("cat /sys/fs/cgroup/cgroup.controllers").split()
    for controller in ("cpu", "memory", "pids"):
        t.assertIn(controller, controllers)

with subtest("a memory limit ends the process that breaks it"):
    hold = "bash -c 'head --bytes 64M /dev/zero | tail --bytes 64M | wc --bytes'"
    t.assertEqual(machine.succeed(f"systemd-run --quiet --wait --pipe --property MemoryMax=128M {hold}").strip(), str(64 << 20))
    machine.fail(f"systemd-run --quiet --wait --unit greedy --property MemoryMax=32M --property MemorySwapMax=0 {hold}")
    t.assertEqual(machine.get_unit_property("greedy", "Result"), "oom-kill")

with subtest("a cpu limit slows a process down"):
    loop = "bash -c 'for ((i = 0; i < 100000; i++)); do :; done'"
    measured = machine.succeed(
        f"a=$(date +%s%N); systemd-run --quiet --wait {loop}; b=$(date +%s%N);"
        f" systemd-run --quiet --wait --property CPUQuota=20% {loop}; c=$(date +%s%N); echo $((b - a)) $((c - b))"
    )
    free, limited = (int(nanoseconds) for nanoseconds in measured.split())
    t.assertGreater(limited, 2 * free)

with subtest("a pids limit refuses a fork"):
    fork = "bash -c 'sleep 0.2 & sleep 0.2 & sleep 0.2 & sleep 0.2 & wait'"
    machine.succeed(f"systemd-run --quiet --wait {fork}")
    machine.execute(f"systemd-run --quiet --wait --unit forks --property TasksMax=3 {fork}")
    machine.succeed("journalctl --unit forks | grep 'fork: .*Resource temporarily unavailable'")

with subtest("nftables with the inet family, address translation and maps"):
    machine.succeed(
        "nft 'add table inet probe;"
        " add map inet probe ports { type inet_proto . inet_service : ipv4_addr . inet_service; };"
        " add element inet probe ports { tcp . 8080 : 10.0.0.2 . 80 };"
        " add chain inet probe in { type nat hook prerouting priority dstnat; };"
        " add rule inet probe in dnat ip to meta l4proto . th dport map @ports;"
        " add chain inet probe out { type nat hook postrouting priority srcnat; };"
        " add rule inet probe out masquerade'"
    )
    machine.succeed("nft list table inet probe | grep masquerade && nft delete table inet probe")

with subtest("namespaces: user, network, mount, process"):
    t.assertEqual(machine.succeed("unshare --user --map-root-user --net --mount --pid --fork id --user").strip(), "0")

with subtest("a bridge with a port in another network namespace"):
    machine.succeed(
        "ip netns add probe && ip link add br0 type bridge && ip link add veth0 type veth peer name eth0 netns probe"
        " && ip link set veth0 master br0 && ip netns delete probe && ip link delete br0"
    )

with subtest("overlayfs"):
    machine.succeed(
        "mount -t tmpfs probe /mnt && mkdir /mnt/{lower,upper,work,all}"
        " && mount -t overlay probe -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work /mnt/all && umount /mnt/all /mnt"
    )

with subtest("long commands and copies pass unharmed"):
    text = "x" * 10_000
    t.assertEqual(machine.succeed(f"printf %s {text} | wc --bytes").strip(), "10000")
    machine.copy_from_host(__file__, "/root/copied")
    with open(__file__) as own:
        t.assertEqual(machine.succeed("cat /root/copied"), own.read())

with subtest("a crash loses what was not synced, and keeps what was"):
    machine.succeed("echo kept >/root/kept && sync && echo lost >/root/lost")
    machine.crash()
    machine.start()
    machine.succeed("grep kept /root/kept")
    machine.fail("grep --quiet lost /root/lost")

machine.shutdown()

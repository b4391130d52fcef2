"""The switch between the machines: one bridge in the network namespace that the whole run lives in."""

import subprocess

BRIDGE = "lane"
HOST_ADDRESS = "192.168.1.254"


def command(*arguments):
    """Runs a command of the host and returns what it prints."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(arguments)}` failed with status {done.returncode}: {done.stdout.strip()}")
    return done.stdout


class Switch:
    """Creates the bridge; every machine gets a tap on it. Nothing is removed: the namespace goes, and all of it with it."""

    def __init__(self):
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", BRIDGE, "type", "bridge")
        command("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", BRIDGE)
        command("ip", "link", "set", BRIDGE, "up")

    def add_port(self, number):
        """A tap for machine `number`, plugged in."""
        port = f"tap{number}"
        command("ip", "tuntap", "add", port, "mode", "tap")
        command("ip", "link", "set", port, "master", BRIDGE, "up")
        return port

    def unplug(self, port):
        """Cuts the cable. The tap stays up: the guest's driver gives a tap that went down up for good."""
        command("ip", "link", "set", port, "nomaster")

    def plug(self, port):
        command("ip", "link", "set", port, "master", BRIDGE)

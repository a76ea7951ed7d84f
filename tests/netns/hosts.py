"""Hosts of their own on one wire: network namespaces behind a bridge, with a firewall each.

    with Net() as net:
        gateway, one = net.host("gateway"), net.host("one")
        one.drop()       nothing reaches it, and nothing comes from it
        one.lose(0.05)   each packet to it is lost with this probability
        one.heal()

The process that uses it is the client: it moves into a host of its own, with all threads that it starts from then on.
"""

import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000


class Impossible(Exception):
    """This machine does not let us."""


def run(*command):
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if ran.returncode != 0:
        raise Impossible(f"{' '.join(map(str, command))}: {ran.stderr.strip() or ran.returncode}")
    return ran.stdout


def setns(path):
    with open(path) as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
            raise Impossible(f"setns: {os.strerror(ctypes.get_errno())}")


class Host:
    def __init__(self, net, name, address):
        self.net, self.name, self.address = net, f"{net.prefix}-{name}", address
        run("ip", "netns", "add", self.name)
        net.stack.callback(subprocess.run, ["ip", "netns", "del", self.name], capture_output=True)

    @property
    def launcher(self):
        """Before a command: it runs here."""
        return ["ip", "netns", "exec", self.name]

    def do(self, *command):
        return run(*self.launcher, *command)

    def plug(self, number):
        """A cable to the bridge."""
        inner, outer = "eth0", f"port{number}"
        run("ip", "-n", self.net.hub, "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self.name)
        run("ip", "-n", self.net.hub, "link", "set", outer, "master", "br0", "up")
        run("ip", "-n", self.name, "addr", "add", f"{self.address}/24", "dev", inner)
        run("ip", "-n", self.name, "link", "set", inner, "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    def drop(self):
        for chain in ("INPUT", "OUTPUT"):
            self.do("iptables", "-I", chain, "-p", "tcp", "!", "-o" if chain == "OUTPUT" else "-i", "lo", "-j", "DROP")

    def lose(self, share):
        self.do("iptables", "-I", "INPUT", "-p", "tcp", "!", "-i", "lo", "-m", "statistic", "--mode", "random", "--probability", share,
                "-j", "DROP")

    def heal(self):
        self.do("iptables", "-F")


class Net:
    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.prefix = f"fg{os.getpid()}"
        self.hub = f"{self.prefix}-hub"
        self._n = 0

    def __enter__(self):
        if os.geteuid() != 0:
            raise Impossible("only root may make network namespaces")
        try:
            run("ip", "netns", "add", self.hub)
            self.stack.callback(subprocess.run, ["ip", "netns", "del", self.hub], capture_output=True)
            run("ip", "-n", self.hub, "link", "add", "br0", "type", "bridge")
            run("ip", "-n", self.hub, "link", "set", "br0", "up")
            self.client = self.host("client")
            self.client.do("iptables", "-L")
            home = f"/proc/{os.getpid()}/task/{os.getpid()}/ns/net"
            held = os.open(home, os.O_RDONLY)
            self.stack.callback(lambda: (setns(f"/proc/self/fd/{held}"), os.close(held)))
            setns(f"/run/netns/{self.client.name}")
        except (Impossible, OSError) as error:
            self.stack.close()
            raise Impossible(error) from error
        return self

    def __exit__(self, *_):
        self.stack.close()

    def host(self, name):
        self._n += 1
        host = Host(self, name, f"10.77.0.{self._n}")
        host.plug(self._n)
        return host

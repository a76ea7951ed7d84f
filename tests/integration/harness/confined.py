"""Becomes a program that can make no other system calls than its unit allows: confined.py FILTER... -- PROGRAM...

FILTER is as in SystemCallFilter= of systemd: names and @groups, `~` before those that are taken away; what is not allowed is EPERM.
"""

import ctypes
import os
import subprocess
import sys

ALLOW, EPERM = 0x7FFF0000, 0x00050001


def members(group):
    """The calls of a group, with those of the groups in it."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    names = [line.strip() for line in said.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(members(name) if name.startswith("@") else {name} for name in names))


def allowed(filters):
    """What systemd allows: a few calls always, then what the lines add and take away."""
    calls = members("@default")
    for line in filters:
        take_away = line.startswith("~")
        for word in line.lstrip("~").split():
            these = members(word) if word.startswith("@") else {word}
            calls = calls - these if take_away else calls | these
    return calls


def confine(calls):
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    context = seccomp.seccomp_init(EPERM)
    for name in calls:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and seccomp.seccomp_rule_add(context, ALLOW, number, 0) != 0:
            raise OSError(f"no rule for {name}")
    if seccomp.seccomp_load(context) != 0:
        raise OSError("the filter is not taken")


if __name__ == "__main__":
    cut = sys.argv.index("--")
    confine(allowed(sys.argv[1:cut]))
    os.execvp(sys.argv[cut + 1], sys.argv[cut + 1:])

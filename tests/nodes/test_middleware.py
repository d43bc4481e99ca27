"""What Fast DDS is told, and that it does it."""

import os
import subprocess
import sys

import pytest
from spatial_vla.nodes.middleware import ANYWHERE, LOOPBACK, PROFILE, RANGE, middleware_settings

LOOK = """
import os, subprocess
import spatial_vla.nodes
import rclpy
rclpy.init()
node = rclpy.create_node("looked_at")
threads = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
print("threads", *threads)
inodes = set()
for fd in os.listdir("/proc/self/fd"):
    try:
        inodes.add(os.readlink(f"/proc/self/fd/{fd}"))
    except FileNotFoundError:
        pass  # the one that listed them
for line in open("/proc/net/udp").read().splitlines()[1:]:
    fields = line.split()
    if f"socket:[{fields[9]}]" in inodes:
        print("socket", fields[1])
rclpy.shutdown()
"""


def looked_at(**environment):
    """Threads and local UDP addresses of a process with a node."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return lines[0][1:], [line[1] for line in lines[1:]]


def test_nothing_is_open_beyond_this_machine_and_no_memory_is_shared():
    threads, sockets = looked_at(**{RANGE: "LOCALHOST"})
    assert sockets and all(address.startswith("0100007F:") for address in sockets), sockets
    assert any("udp" in name for name in threads) and not any("shm" in name for name in threads), threads


def test_on_a_network_no_memory_is_shared_either():
    threads, sockets = looked_at(**{RANGE: "SUBNET"})
    assert sockets and not any("shm" in name for name in threads), threads


@pytest.mark.parametrize(
    ("given", "profile", "reach"),
    [
        ({}, ANYWHERE, None),
        ({RANGE: "SUBNET"}, ANYWHERE, None),
        ({RANGE: "LOCALHOST"}, LOOPBACK, "SYSTEM_DEFAULT"),
        ({RANGE: "LOCALHOST", PROFILE: ANYWHERE}, LOOPBACK, "SYSTEM_DEFAULT"),
        ({RANGE: "SUBNET", PROFILE: LOOPBACK}, ANYWHERE, None),
        ({RANGE: "SYSTEM_DEFAULT", PROFILE: LOOPBACK}, LOOPBACK, "SYSTEM_DEFAULT"),
        ({RANGE: "LOCALHOST", PROFILE: "/home/me/my.xml"}, None, None),
    ],
)
def test_the_range_decides_and_a_profile_of_the_users_own_stays(given, profile, reach):
    settings = middleware_settings(given)
    assert settings.get(PROFILE) == profile and settings.get(RANGE) == reach
    again = middleware_settings({**given, **settings})
    assert {**given, **settings, **again} == {**given, **settings}, "what inherits it stays as it is"

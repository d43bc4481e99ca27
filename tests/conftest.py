"""What all tests share: a DDS domain of this test run's own, so that no other run or robot answers."""

import ctypes
import os

os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


class _SignalStack(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def pytest_runtest_setup() -> None:
    """Signals use the ordinary stack: on processors with AMX the 20 kB one that a library sets up for them is too small
    once OpenVINO has run a model, and the next signal, such as the end of a child, would kill the whole run.
    """
    disabled = 2
    ctypes.CDLL(None).sigaltstack(ctypes.byref(_SignalStack(None, disabled, 0)), None)

"""What all tests share: a DDS domain of this test run's own, so that no other run or robot answers."""

import faulthandler
import os

os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


def pytest_runtest_setup() -> None:
    """No fault handler, whoever turned it on: on processors with AMX its 20 kB stack for signals is too small once
    OpenVINO has run a model, and the next signal, such as the end of a child, kills the whole run.
    """
    faulthandler.disable()

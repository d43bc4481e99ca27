"""What all tests share: a DDS domain of this test run's own, so that no other run or robot answers."""

import os

import pytest

os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Export last: a process forked after OpenVINO ran a model, as a DataLoader's workers are, crashes at its end."""
    items.sort(key=lambda item: item.path.parent.name == "export")

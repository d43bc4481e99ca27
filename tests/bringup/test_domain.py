"""No two bring-ups share a DDS domain."""

import os

import pytest
from spatial_vla.bringup.domain import DomainTaken, claimed_domain


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("ROS_DOMAIN_ID", "33")


def test_a_taken_domain_is_refused_with_the_way_out():
    taken = pytest.raises(DomainTaken, match=f"process {os.getpid()}.*ROS_DOMAIN_ID=34")
    with claimed_domain(), taken, claimed_domain():
        pass
    with claimed_domain() as again:
        assert again == 33


def test_namespaces_keep_bringups_apart():
    with claimed_domain("left"), claimed_domain("right"):
        pass


def test_any_free_domain_will_do_unless_the_user_chose(monkeypatch):
    with claimed_domain(any_free=True), pytest.raises(DomainTaken), claimed_domain(any_free=True):
        pass
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with claimed_domain(any_free=True) as first:
        assert os.environ["ROS_DOMAIN_ID"] == str(first)
        monkeypatch.delenv("ROS_DOMAIN_ID")
        with claimed_domain(any_free=True) as second:
            assert second != first

"""The command line, started as a user starts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("spatial-vla")
pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="spatial_vla is not installed in this environment"
)


def spatial_vla(*arguments, timeout=60):
    return subprocess.run(
        [str(PROGRAM), *arguments], capture_output=True, text=True, check=False, timeout=timeout
    )


def test_help_names_every_command():
    done = spatial_vla("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("run", "bringup", "say", "doctor", "report"))


def test_a_report_of_what_is_no_run_is_refused(tmp_path):
    done = spatial_vla("report", str(tmp_path))
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr and "Traceback" not in done.stderr


def test_bringup_offers_the_arguments_of_the_launch_file():
    from spatial_vla.bringup.arguments import described_arguments

    text = spatial_vla("bringup", "--help").stdout
    for argument in described_arguments():
        assert f"--{argument.name.replace('_', '-')}" in text


def test_a_wrong_argument_is_refused():
    assert spatial_vla("bringup", "--no-such-thing").returncode == 2


def test_a_missing_parameter_file_is_named():
    done = spatial_vla("bringup", "--params-file", "nowhere.yaml")
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stderr and "Traceback" not in done.stderr


def test_doctor_prints_one_json_object():
    done = spatial_vla("doctor", "--json", "--no-graph")
    report = json.loads(done.stdout)
    by_name = {check["name"]: check for check in report["checks"]}
    assert by_name["ROS 2"]["status"] == "ok"
    assert by_name["interfaces"]["status"] == "ok"
    assert report["healthy"] == all(check["status"] != "missing" for check in report["checks"])
    assert done.returncode == (0 if report["healthy"] else 1)


def test_doctor_asks_for_the_socket_buffers_that_the_nodes_ask_for(monkeypatch, tmp_path):
    import spatial_vla.nodes
    from spatial_vla.cli import checks

    profile = Path(spatial_vla.nodes.__file__).with_name("fastdds.xml").read_text()
    assert f"<listenSocketBufferSize>{checks.WANTED_BUFFER}<" in profile
    limit = tmp_path / "rmem_max"
    limit.write_text("212992\n")
    monkeypatch.setattr(checks, "RECEIVE_BUFFER", limit)
    check = checks._socket_buffers()
    assert check.status == "absent" and "208 KiB" in check.found and "rmem_max=4194304" in check.remedy


def test_doctor_gives_the_command_that_mends(monkeypatch):
    from importlib import metadata

    from spatial_vla.cli import checks

    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(checks.metadata, "version", nothing)
    check = checks._distribution("daqp")
    assert (check.status, check.remedy) == ("missing", "./setup")
    assert checks._distribution("torch", optional="./setup --dev").status == "absent"


def test_doctor_sees_a_mixture(monkeypatch):
    from spatial_vla.cli import checks

    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(checks, "uses_wheels", lambda: True)
    assert checks._no_mixture().status == "missing"

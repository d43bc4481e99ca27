"""The runner starts, watches, restarts and stops real processes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from spatial_vla.bringup import process
from spatial_vla.bringup.environment import default_domain_id, find_executable, node_environment, uses_wheels
from spatial_vla.bringup.node_list import NodeEntry
from spatial_vla.bringup.runner import Runner, run_until_stopped
from spatial_vla.nodes import middleware


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make programs of Python source that the runner finds on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def make(name, source):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
        path.chmod(0o755)
        return NodeEntry(package="none", executable=name, name=name)

    return make


class Lines(list):
    def __call__(self, name, line):
        self.append(f"{name}: {line}")

    def wait_for(self, text, count=1, poll=lambda: None):
        deadline = time.monotonic() + 30
        while sum(text in line for line in self) < count:
            assert time.monotonic() < deadline, f"no {text!r} in {self}"
            poll()
            time.sleep(0.01)


SLEEPER = "import time\nprint('up')\ntime.sleep(60)"


def test_output_comes_with_the_name_and_all_end_on_stop(program):
    lines = Lines()
    running = Runner([program("one", SLEEPER), program("two", SLEEPER)], output=lines)
    running.start()
    lines.wait_for("one: up")
    lines.wait_for("two: up")
    pids = running.pids.values()
    running.stop()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_dead_node_is_restarted_with_a_message(program):
    lines = Lines()
    running = Runner([replace(program("one", SLEEPER), respawn=True)], output=lines, respawn_delay=0.01)
    running.start()
    try:
        lines.wait_for("one: up")
        first = running.pids["one"]
        os.kill(first, signal.SIGKILL)
        lines.wait_for("one: up", count=2, poll=lambda: assert_none(running.poll()))
        assert running.pids["one"] != first
    finally:
        running.stop()
    assert any("one died (SIGKILL); starts again" in line for line in lines)


def assert_none(value):
    assert value is None


def test_a_required_node_that_keeps_dying_ends_everything_with_an_error(program, capsys):
    entries = [replace(program("bad", "import sys\nsys.exit(3)"), respawn=True), program("good", SLEEPER)]
    running = Runner(entries, output=Lines(), respawn_delay=0.01)
    assert run_until_stopped(running, threading.Event()) == 1
    assert "bad keeps dying (last: exit code 3)" in capsys.readouterr().err
    assert not running.pids


def test_without_restart_a_required_node_ends_everything_at_once(program, capsys):
    running = Runner([program("bad", "import sys\nsys.exit(3)"), program("good", SLEEPER)], output=Lines())
    assert run_until_stopped(running, threading.Event()) == 1
    assert "bad died (exit code 3)" in capsys.readouterr().err


def test_a_node_that_is_not_required_may_die(program):
    lines = Lines()
    running = Runner(
        [replace(program("extra", "pass"), required=False), program("good", SLEEPER)], output=lines
    )
    running.start()
    try:
        lines.wait_for("going on without it", poll=lambda: assert_none(running.poll()))
        assert set(running.pids) == {"good"}
    finally:
        running.stop()


def test_one_sigint_is_sent_and_the_node_may_finish(program):
    lines = Lines()
    entry = program(
        "one",
        """
        import signal, time
        caught = []
        signal.signal(signal.SIGINT, lambda *_: caught.append(1))
        print('up')
        while not caught:
            time.sleep(0.01)
        time.sleep(0.3)
        print('caught', len(caught))
        """,
    )
    running = Runner([entry], output=lines)
    running.start()
    lines.wait_for("up")
    running.stop()
    assert "one: caught 1" in lines


def test_a_stubborn_node_and_what_it_started_are_killed(program, monkeypatch):
    monkeypatch.setattr(
        process, "STOP_SEQUENCE", ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0))
    )
    lines = Lines()
    ignore = (
        "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)]"
    )
    entry = program(
        "one",
        f"""
        import subprocess, sys
        {ignore}
        child = subprocess.Popen([sys.executable, '-c', {ignore + "; print(0, flush=True); time.sleep(60)"!r}])
        print('child', child.pid)
        time.sleep(60)
        """,
    )
    running = Runner([entry], output=lines)
    running.start()
    lines.wait_for("child")
    lines.wait_for("one: 0")
    child = int(next(line for line in lines if "child" in line).split()[-1])
    running.stop()
    wait_until_gone(child)


def wait_until_gone(pid):
    deadline = time.monotonic() + 10
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)


def test_nodes_end_when_the_runner_is_killed(program, tmp_path):
    program("one", "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(60)")
    script = tmp_path / "run.py"
    script.write_text(
        "import threading\n"
        "from spatial_vla.bringup.node_list import NodeEntry\n"
        "from spatial_vla.bringup.runner import Runner, run_until_stopped\n"
        "run_until_stopped(Runner([NodeEntry('none', 'one', 'one')]), threading.Event())\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    line = parent.stdout.readline()
    assert line.startswith("[one] pid")
    parent.kill()
    parent.wait()
    wait_until_gone(int(line.split()[-1]))


def test_a_missing_program_is_named():
    with pytest.raises(FileNotFoundError, match=r"no_such_program.*\./setup"):
        find_executable("spatial_vla", "no_such_program")


@pytest.mark.skipif(not uses_wheels(), reason="a full ROS 2 keeps its environment")
def test_the_environment_is_cut_off_from_a_sourced_distribution():
    foreign = {
        "PYTHONPATH": "/opt/ros/jazzy/lib",
        "LD_LIBRARY_PATH": "/opt/ros/jazzy/lib",
        "AMENT_PREFIX_PATH": "/opt/ros/jazzy",
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }
    environment = node_environment({**foreign, "HOME": "/home/someone"})
    assert environment["AMENT_PREFIX_PATH"] == sys.prefix
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"} & set(environment)
    assert environment["ROS_DOMAIN_ID"] == str(default_domain_id())
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == middleware.LOOPBACK
    assert node_environment({"ROS_DOMAIN_ID": "7"})["ROS_DOMAIN_ID"] == "7"


def test_a_real_node_gets_its_name_namespace_and_parameters(program, tmp_path):
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("/**/listener:\n  ros__parameters:\n    rate: 2.5\n    text: from file\n")
    entry = program(
        "listener",
        """
        import rclpy
        from rclpy.node import Node
        rclpy.init()
        node = Node('wrong_name')
        values = [node.declare_parameter(name, default).value for name, default in (('rate', 0.0), ('text', ''))]
        values.append(node.get_parameter('use_sim_time').value)
        print(node.get_fully_qualified_name(), values)
        rclpy.shutdown()
        """,
    )
    entry = replace(
        entry,
        namespace="/left",
        parameter_files=(parameters,),
        parameters={"use_sim_time": True, "text": "from override"},
        required=False,
    )
    lines = Lines()
    running = Runner([entry], output=lines)
    running.start()
    try:
        lines.wait_for("/left/listener [2.5, 'from override', True]", poll=running.poll)
    finally:
        running.stop()

"""Diagnostics added up, from a bag, and printed by the doctor."""

import json

import numpy as np
import pytest
from spatial_vla.cli import main
from spatial_vla.cli.health import health_of_run, rows
from spatial_vla.report import RunRecorder
from spatial_vla.report.definitions import typestore


def record(folder, told):
    """A bag of diagnostics: (node, level, message, values) once per second."""
    types, recorder = typestore(), RunRecorder(folder)
    new = types.types
    for second, (name, level, message, values) in enumerate(told, 1):
        pairs = [new["diagnostic_msgs/msg/KeyValue"](key=k, value=v) for k, v in values.items()]
        status = new["diagnostic_msgs/msg/DiagnosticStatus"](
            level=level, name=name, message=message, hardware_id="", values=pairs
        )
        stamp = new["builtin_interfaces/msg/Time"](sec=second, nanosec=0)
        array = new["diagnostic_msgs/msg/DiagnosticArray"](
            header=new["std_msgs/msg/Header"](stamp=stamp, frame_id=""), status=[status]
        )
        data = bytes(types.serialize_cdr(array, array.__msgtype__))
        recorder.record("/diagnostics", array.__msgtype__, second * 10**9, data)
    recorder.close()
    return folder


@pytest.fixture
def run(tmp_path):
    motion = [
        ("motion_node", 0, "RUNNING", {"holds": "0", "tick_ms.p99": "1.5", "joint_states.hz": "99.5"}),
        ("motion_node", 1, "HOLDING: x died", {"holds": "1", "stop.x_died": "1", "tick_ms.p99": "3.5"}),
        (
            "motion_node",
            0,
            "IDLE",
            {"holds": "1", "stop.x_died": "1", "tick_ms.p99": "2.5", "chunks_late": "0"},
        ),
    ]
    encoder = [("encoder_node", 0, "activated", {"joint_states.age_ms": "7.0", "note": "words"})]
    return record(tmp_path / "run", [*motion, *encoder])


def test_what_a_bag_says_is_added_up(run):
    nodes = health_of_run(run)
    assert list(nodes) == ["encoder_node", "motion_node"]
    motion = nodes["motion_node"]
    assert (motion.level, motion.message) == (0, "IDLE")
    assert motion.worst == (1, "HOLDING: x died")
    assert motion.counters == {"holds": 1, "stop.x_died": 1, "chunks_late": 0}
    assert motion.readings["tick_ms.p99"] == [1.5, 3.5, 2.5]
    table = dict(rows(motion))
    assert table["tick_ms.p99"] == "2.5 (1.5 to 3.5)" and table["hears joint_states"] == "99.5 Hz"
    assert "chunks_late" not in table and table["stop.x_died"] == "1"


def doctor(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["doctor", *map(str, arguments)])
    return end.value.code


def test_the_doctor_prints_the_table_of_a_bag(run, capsys):
    assert doctor("--bag", run) == 0
    text = capsys.readouterr().out
    assert "motion_node" in text and "stop.x_died" in text and "WARN: HOLDING: x died" in text
    assert doctor("--bag", run / "bag", "--json") == 0
    assert json.loads(capsys.readouterr().out)["nodes"]["motion_node"]["counters"]["holds"] == 1


def test_a_run_that_ended_in_error_and_one_without_diagnostics_fail(tmp_path, capsys):
    assert doctor("--bag", record(tmp_path / "bad", [("motion_node", 2, "FAULT: y", {})])) == 1
    assert "FAULT: y" in capsys.readouterr().out
    assert doctor("--bag", tmp_path) == 1
    assert "holds no bag" in capsys.readouterr().err
    recorder = RunRecorder(tmp_path / "empty")
    recorder.record("/clock", "rosgraph_msgs/msg/Clock", 1, bytes(np.zeros(12, np.uint8)))
    recorder.close()
    assert doctor("--bag", tmp_path / "empty") == 1
    assert "no message on /diagnostics" in capsys.readouterr().err

"""The parameters of motion_node: their defaults are the core's own, and their values reach it."""

import numpy as np
import pytest
from spatial_vla.description import joint_limits
from spatial_vla.motion import GateSettings, MotionSettings
from spatial_vla.motion.panda import panda_limits
from spatial_vla.nodes.motion_parameters import PARAMETERS, controller_from


def reader(**values):
    table = {row.name: row.default for row in PARAMETERS} | values
    assert table.keys() == {row.name for row in PARAMETERS}
    return table.__getitem__


def test_defaults_are_those_of_the_core():
    controller = controller_from(reader())
    assert controller.limits.fingerprint() == panda_limits().fingerprint()
    assert controller.settings == MotionSettings(gate=GateSettings())
    assert controller.period == 0.01


def test_values_reach_the_core(tmp_path):
    file = tmp_path / "limits.yaml"
    table = joint_limits()
    table["panda_joint1"]["max_acceleration"] = 3.0
    file.write_text(f"joint_limits: {table}".replace("True", "true").replace("False", "false"))
    values = {
        "joint_limits_file": str(file),
        "velocity_scaling": 0.1,
        "max_speed": 0.05,
        "workspace_upper": [0.7, 0.1, 0.5],
        "over_limit": "reject",
        "max_step_rotation": 0.2,
        "hold_angle": 0.1,
        "rate": 125.0,
    }
    controller = controller_from(reader(**values))
    limits, settings = controller.limits, controller.settings
    np.testing.assert_allclose(limits.velocity, 0.1 * limits.joints.velocity)
    assert limits.joints.acceleration[0] == 3.0
    assert limits.cartesian.speed == 0.05 and limits.workspace.upper == (0.7, 0.1, 0.5)
    assert settings.gate.over_limit == "reject" and settings.gate.max_rotation == 0.2
    assert settings.hold_error == (0.03, 0.1) and controller.period == 0.008


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"over_limit": "ignore"}, "over_limit"),
        ({"joints": ["panda_joint1", "elbow"]}, "elbow"),
        ({"workspace_lower": [1.0, 0.0, 0.0]}, "box"),
        ({"obstacles": [1.0, 2.0]}, "six per box"),
        ({"robot": "ur5"}, "panda"),
        ({"stop_acceleration_scaling": 0.1}, "stop scaling"),
    ],
)
def test_values_that_make_no_sense_are_named(values, named):
    with pytest.raises(ValueError, match=named):
        controller_from(reader(**values))


def test_table_and_obstacles_reach_the_limits():
    limits = controller_from(reader(table_height=-0.1, obstacles=[0.5, 0.5, 0.2, 0.1, 0.1, 0.4])).limits
    assert [o.name for o in limits.obstacles] == ["table", "obstacle 1"]
    table, box = limits.obstacles
    assert table.centre[2] + table.size[2] / 2 == pytest.approx(-0.1) and box.size == (0.1, 0.1, 0.4)

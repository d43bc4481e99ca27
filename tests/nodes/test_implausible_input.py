"""Input that no robot can have sent is refused, counted, and named."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Transform, Vector3
from sensor_msgs.msg import JointState
from spatial_vla.description import ARM_JOINTS
from spatial_vla.nodes import moving_frame
from spatial_vla.nodes.motion_messages import JointStateReader
from spatial_vla.nodes.moving_frame import MovingFrame
from spatial_vla.nodes.refusal import RefusedInput


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_joint_position_that_is_no_number_is_refused_by_name(value):
    reader = JointStateReader(tuple(ARM_JOINTS))
    names = ["finger", *ARM_JOINTS]
    positions = [value, *np.linspace(-1.0, 1.0, 7)]
    still = [0.0] * 8
    q, _, _ = reader.read(
        JointState(name=names, position=positions, velocity=still)
    )  # the finger is not the arm's
    np.testing.assert_allclose(q, positions[1:])
    positions = [0.0, *np.linspace(-1.0, 1.0, 7)]
    positions[3] = value
    with pytest.raises(RefusedInput, match="panda_joint3") as refused:
        reader.read(JointState(header=_at(1), name=names, position=positions))
    assert refused.value.counter == "joint_state_refused"


def _at(seconds):
    return JointState().header.__class__(stamp=Time(sec=seconds))


@pytest.mark.parametrize("velocity", [[], [np.nan] * 7, [0.0] * 6 + [np.inf]])
def test_speeds_that_a_driver_does_not_know_are_differences_and_nothing_is_made_up(velocity):
    reader = JointStateReader(tuple(ARM_JOINTS))

    def read(seconds, position):
        return reader.read(
            JointState(header=_at(seconds), name=list(ARM_JOINTS), position=[position] * 7, velocity=velocity)
        )

    assert read(1, 0.0) is None
    np.testing.assert_allclose(read(2, 0.5)[1], 0.5)
    assert read(2, 0.5) is None, "said twice"
    assert read(1, 0.6) is None, "the clock was set back"
    np.testing.assert_allclose(read(2, 0.8)[1], 0.2)


@pytest.fixture
def tool(monkeypatch):
    """A frame whose transforms are set by the test: x [m] by stamp [ns]."""
    places = {}
    found = lambda _, __, ___, stamp: Transform(translation=Vector3(x=places[stamp]))  # noqa: E731
    monkeypatch.setattr(moving_frame, "transform_at", found)
    frame = MovingFrame(None, "base", "tool")

    def at(milliseconds, x):
        places[milliseconds * 1_000_000] = x
        return frame.at(milliseconds * 1_000_000).translation[0]

    return at


def test_a_tool_that_moves_as_tools_do_is_believed(tool):
    for i in range(50):
        assert tool(100 * i, 0.15 * i) == pytest.approx(0.15 * i)


def test_a_tool_that_jumps_is_refused_once_for_each_jump(tool):
    tool(0, 0.0)
    with pytest.raises(RefusedInput, match=r"'tool' jumped 0\.400 m in 0\.100 s") as refused:
        tool(100, 0.4)
    assert refused.value.counter == "transforms_jumped"
    assert tool(200, 0.4) == pytest.approx(0.4)  # it is there, however it came there
    for i in range(3, 9):
        with pytest.raises(RefusedInput):
            tool(100 * i, 0.4 * ((i + 1) % 2))


def test_time_set_back_is_no_jump(tool):
    tool(5000, 0.0)
    assert tool(100, 1.0) == 1.0

"""Stops, limits and clamps are counted once each, by what caused them."""

import numpy as np
import pytest
from spatial_vla.motion.tally import MotionTally, kind_of


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("workspace: panda_tcp at [0.9, 0.1, 0.2]", "workspace"),
        ("panda_joint4 position limit", "panda_joint4_position_limit"),
        (
            "control loop was 0.123 s late; starting again at rest",
            "control_loop_was_late_starting_again_at_rest",
        ),
        ("arm does not follow the reference: 0.041 m, 0.10 rad", "arm_does_not_follow_the_reference"),
        ("encoder_node died", "encoder_node_died"),
    ],
)
def test_kinds_have_no_particulars(reason, kind):
    assert kind_of(reason) == kind


def counted(rig, ticks, tally):
    for _ in range(ticks):
        rig.tick()
        tally.note(rig.controller.status())
    return dict(tally.counts)


def test_a_stop_counts_once_under_each_of_its_causes(rig):
    tally = MotionTally()
    assert counted(rig, 5, tally) == {}
    rig.controller.hold("camera_node died")
    counted(rig, 10, tally)
    rig.controller.hold("stop button is pressed")
    counted(rig, 10, tally)
    rig.controller.resume("camera_node died")
    rig.controller.resume("stop button is pressed")
    assert counted(rig, 10, tally) == {"stop.camera_node_died": 1, "stop.stop_button_is_pressed": 1}
    rig.controller.hold("camera_node died")
    assert counted(rig, 10, tally)["stop.camera_node_died"] == 2


def test_a_late_loop_is_one_cause(rig):
    tally = MotionTally()
    rig.run([0, 0.03, 0, 0, 0, 0], 0.6)
    rig.advance(0.2)
    assert counted(rig, 20, tally) == {"stop.control_loop_was_late": 1}


def test_a_limit_counts_when_it_begins_to_hold_the_arm_back(rig):
    tally = MotionTally()
    for _ in range(40):
        rig.chunk(np.tile([0.0, 0.0, -0.05, 0, 0, 0.0], (4, 1)))
        counted(rig, 20, tally)
    limits = {name: n for name, n in tally.counts.items() if name.startswith("limit.")}
    ticks = 800
    assert all(n < ticks / 10 for n in limits.values()), limits
    assert not any(name.startswith("stop.") for name in tally.counts)


def test_clamped_steps_count_by_what_was_too_long(rig):
    tally = MotionTally()
    tally.note_chunk(rig.chunk(np.tile([0.0, 0.07, 0, 0, 0, 0], (4, 1))))
    rig.tick(2)
    tally.note_chunk(rig.chunk(np.tile([0.0, 0.01, 0, 0, 0, 0.5], (4, 1))))
    rig.tick(2)
    tally.note_chunk(rig.chunk(np.tile([0.0, 0.01, 0, 0, 0, 0.0], (4, 1))))
    tally.note_chunk(rig.chunk(np.full((4, 6), 1e9)))  # refused, not clamped
    assert dict(tally.counts) == {"clamp.translation": 1, "clamp.rotation": 1}

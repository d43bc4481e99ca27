"""A stop that a person asks for lasts until a person ends it."""

from spatial_vla.motion import MotionState

from .rig import assert_within_limits, steps

FORWARD = steps(0.05)[0]


def test_a_pressed_button_stops_the_arm_and_its_release_does_not_set_it_in_motion(rig):
    rig.run(FORWARD, 0.5)
    rig.controller.hold("stop button is pressed")
    rig.controller.fault("stop button was pressed")
    rig.tick(30)
    assert rig.speed() == 0.0
    rig.controller.resume("stop button is pressed")
    rig.run(FORWARD, 0.5)
    assert rig.state is MotionState.FAULT and rig.reason == "stop button was pressed" and rig.speed() == 0.0
    rig.controller.reset()
    rig.arm()
    rig.run(FORWARD, 0.5)
    assert rig.state is MotionState.RUNNING and rig.speed() > 0.1
    assert_within_limits(rig)


def test_pressed_while_disarmed_it_has_to_be_reset_too(rig):
    rig.controller.disarm()
    rig.controller.fault("stop button was pressed")
    rig.measure()
    refused = rig.controller.arm(rig.measured()[0], rig.now_ns)
    assert not refused and "reset" in refused.reason
    rig.controller.reset()
    rig.arm()
    assert rig.state is MotionState.IDLE

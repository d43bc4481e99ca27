"""Which back-end is taken and why; and that it does not change under an armed arm."""

from contextlib import suppress

import pytest
from spatial_vla.motion import BackendUnavailable
from spatial_vla.motion.embedded import EmbeddedBackend
from spatial_vla.motion.selection import choose_backend


def absent():
    raise BackendUnavailable("its services do not answer")


def test_auto_prefers_servo_and_says_why_not(make_rig):
    here = object()
    assert choose_backend("auto", {"servo": lambda: here, "embedded": lambda: None}).backend is here
    choice = choose_backend("auto", {"servo": absent, "embedded": lambda: None})
    assert choice.name == "embedded" and "not servo: its services do not answer" in choice.reason


def test_what_is_asked_for_is_never_replaced():
    with pytest.raises(BackendUnavailable, match="'servo' was asked for: its services"):
        choose_backend("servo", {"servo": absent, "embedded": lambda: None})
    with pytest.raises(ValueError, match=r"'moveit'.*embedded"):
        choose_backend("moveit", {"servo": absent, "embedded": lambda: None})
    with pytest.raises(BackendUnavailable, match="no back-end can be used"):
        choose_backend("auto", {"servo": absent})


def test_no_switch_while_armed(make_rig, model):
    rig = make_rig()
    rig.controller.use(EmbeddedBackend(model, rig.limits, 0.01))
    rig.arm()
    with pytest.raises(RuntimeError, match="disarm first"):
        rig.controller.use(EmbeddedBackend(model, rig.limits, 0.01))
    rig.run([0, 0.05, 0, 0, 0, 0], 0.4)
    rig.controller.disarm()
    with pytest.raises(RuntimeError, match="disarm first"):
        rig.controller.use(EmbeddedBackend(model, rig.limits, 0.01))
    rig.tick(20)
    rig.controller.use(EmbeddedBackend(model, rig.limits, 0.01))
    rig.arm()


def test_moveit_that_is_not_installed_is_named():
    with suppress(ImportError):
        from moveit_msgs.msg import ServoStatus

        pytest.skip(f"MoveIt is installed: {ServoStatus}")
    from spatial_vla.nodes.servo_port import moveit_interfaces

    with pytest.raises(BackendUnavailable, match=r"moveit_msgs.*apt install"):
        moveit_interfaces()

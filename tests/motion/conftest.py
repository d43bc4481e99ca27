"""Fixtures: the Panda's kinematics, and rigs of a controller with an ideal arm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from spatial_vla.motion import MotionController, MotionLimits, RobotModel
from spatial_vla.motion.panda import panda_limits, panda_model

from .rig import Rig

# How long an example takes depends on who else uses the machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def model() -> RobotModel:
    return panda_model()


@pytest.fixture
def make_rig(model: RobotModel) -> Callable[..., Rig]:
    """Makes rigs; arguments are those of MotionController, limits first."""

    def make(limits: MotionLimits | None = None, **arguments) -> Rig:
        return Rig(MotionController(model, limits or panda_limits(), **arguments), model)

    return make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """An armed rig, at rest."""
    rig = make_rig()
    rig.arm()
    rig.tick(2)
    return rig

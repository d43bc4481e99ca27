"""Every back-end that follows a stream, before something that moves as an arm would."""

import numpy as np
from spatial_vla.geometry import SE3
from spatial_vla.motion.embedded import EmbeddedBackend
from spatial_vla.motion.history import Setpoint
from spatial_vla.motion.horizon import Ahead
from spatial_vla.motion.jtc_ik import JtcIkBackend
from spatial_vla.motion.servo import ServoBackend

from .fake_jtc import FakeJtc
from .fake_servo import FakeServo
from .rig import HOME

PERIOD = 0.01


class Known(Ahead):
    """A reference that is known beforehand."""

    def __init__(self, setpoints):
        self._coming, self.left, self.whole = iter(setpoints), len(setpoints), True

    def __next__(self):
        self.left = max(self.left - 1, 0)
        return next(self._coming)


class Embedded:
    """The embedded back-end before a trajectory controller."""

    silence = 0.5  # [s] by which it has come to rest by itself

    def __init__(self, model, limits):
        self.model, self.limits = model, limits
        self.backend = EmbeddedBackend(model, limits, PERIOD)
        self.arm = FakeJtc(HOME)
        self.elapsed = 0.0

    def anchor(self):
        self.backend.anchor(self.arm.q)
        self.elapsed = 0.0

    def stream(self, reference):
        result = self.backend.stream(reference, self.elapsed)
        return self._sent(result)

    def stop(self):
        return self._sent(self.backend.stop(self.elapsed))

    def _sent(self, result):
        if result.fresh:
            self.arm.send(result.points)
        self.wait(PERIOD)
        self.elapsed = PERIOD
        return result

    def wait(self, seconds):
        self.arm.advance(seconds)
        self.elapsed += seconds

    positions = property(lambda self: np.array(self.arm.positions))
    velocities = property(lambda self: np.array(self.arm.velocities))
    q = property(lambda self: self.arm.q)
    dq = property(lambda self: self.arm.dq)


class JtcIk(Embedded):
    """The chunk-wise back-end, given a chunk in every tick, of 30 ticks at the reference's speed."""

    silence = 1.0

    def __init__(self, model, limits):
        super().__init__(model, limits)
        self.chunks_followed, self.reference = 0, None
        self.backend = JtcIkBackend(model, limits, PERIOD, self)

    def ahead(self):
        coming = [moved(self.reference, i * PERIOD) for i in range(1, 31)]
        return Known([*coming, *[Setpoint.at_rest(coming[-1].pose)] * 15])

    def stream(self, reference):
        self.chunks_followed, self.reference = self.chunks_followed + 1, reference
        return super().stream(reference)


class Servo:
    """The Servo back-end before a Servo."""

    silence = 0.5

    def __init__(self, model, limits):
        self.model, self.limits = model, limits
        self.arm = FakeServo(model, limits, HOME)
        self.arm.command_type = "TWIST"
        self.backend = ServoBackend(model, limits, PERIOD, self.arm, self.arm.reading)
        self.elapsed = PERIOD

    def anchor(self):
        self.backend.anchor(self.arm.q)

    def stream(self, reference):
        result = self.backend.stream(reference, PERIOD)
        self.arm.advance()
        return result

    def stop(self):
        result = self.backend.stop(PERIOD)
        self.arm.advance()
        return result

    def wait(self, seconds):
        self.arm.advance(seconds)

    positions = property(lambda self: np.array(self.arm.positions))
    velocities = property(lambda self: np.array(self.arm.velocities))
    q = property(lambda self: self.arm.q)
    dq = property(lambda self: self.arm.dq)


def moved(reference, seconds):
    if not np.isfinite(reference.twist).all():
        return reference
    pose = SE3(reference.pose.rotation, reference.pose.translation + seconds * reference.twist[:3])
    return Setpoint(pose, reference.twist)

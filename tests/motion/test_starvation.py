"""A stream of chunks that ends: the arm is at rest soon after what the last one asked for."""

import numpy as np
import pytest
from spatial_vla.actions import ActionChunk
from spatial_vla.motion import MotionState

STEP, STEPS = 0.2, 4
#: What a chunk lasts, overtime, and a stop ramp [s].
SOON = STEPS * STEP + 0.15 + 0.2


@pytest.mark.parametrize("seed", range(8))
def test_no_command_outlasts_the_last_chunk(make_rig, seed):
    """Also where the limits held the arm back, so that it is not yet where the chunk leads."""
    rng, rig = np.random.default_rng(seed), make_rig()
    rig.arm()
    count = int(rng.integers(3, 12))
    for k in range(count):
        if k % 3 == 0:
            step = rng.uniform(-0.05, 0.05, 6) * np.array([1, 1, 1, 5, 5, 5])
        rig.tick(10)
        observed_ns = rig.now_ns - 100_000_000
        chunk = ActionChunk(
            observed_ns, STEP, "panda_link0", np.tile(step, (STEPS, 1)), np.ones(STEPS), k + 1
        )
        assert rig.controller.on_chunk(chunk, rig.now_ns)
        rig.tick(10)
    assert np.abs(rig.measured()[1]).max() > 0.01
    rig.tick(round((SOON * 1e9 - (rig.now_ns - observed_ns)) / 1e7))
    assert np.abs(rig.measured()[1]).max() < 0.01 and rig.state is MotionState.IDLE

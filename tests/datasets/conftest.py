"""Two episodes of the simulated expert, recorded by the program that users run."""

import pytest
from spatial_vla_sim.record_lerobot import RecordLeRobot

SEED, SIZE = 2_000_001, 56


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    root = tmp_path_factory.mktemp("lerobot") / "sim"
    RecordLeRobot(root, episodes=2, size=SIZE, seed=SEED, steps=9).run()
    return root

"""SpatialVLA in evaluations: a tiny random one drives the simulated arm, and is measured on recorded moments."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_models.spatialvla.checkpoint import save_released
from spatial_models.spatialvla.evaluated import EvaluatedSpatialVla
from spatial_models.spatialvla.policy import SpatialVlaPolicy
from spatial_vla.actions import ActionEnsemble
from spatial_vla.evaluation import Observation, Sample, run_episode
from spatial_vla.evaluation.named import POLICIES, made
from spatial_vla.evaluation.open_loop import evaluate
from spatial_vla_sim.environment import TabletopEnvironment

from .test_policy import EDGES

WIDEST = [0.01] * 3 + [0.05] * 3
QUANTILES = {"q01": [-w for w in WIDEST] + [0.0], "q99": [*WIDEST, 1.0], "mask": [True] * 6 + [False]}


@pytest.fixture(scope="module")
def folder(make_model, make_tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluated")
    save_released(make_model(depth=True), path)
    make_tokenizer(path)
    K = [[30.0, 0.0, 13.5], [0.0, 30.0, 13.5], [0.0, 0.0, 1.0]]
    fields = {
        "action_chunk_size": 4,
        "bin_policy": EDGES,
        "intrinsic_config": {"default": {"width": 28, "height": 28, "intrinsic": K}},
        "statistics": {"lab/1.0.0": {"action": QUANTILES}},
    }
    (path / "processor_config.json").write_text(json.dumps(fields))
    return path


def test_a_random_network_drives_the_simulated_arm(folder):
    tabletop = TabletopEnvironment(size=64)
    tabletop.most_steps = 4
    options = (f"folder={json.dumps(str(folder))}", "key=lab/1.0.0", "geometry=measured")
    policy = made(POLICIES, "spatialvla", options)
    before = tabletop.reset(3).base_from_tcp
    found = run_episode(tabletop, policy, 3, ensemble=ActionEnsemble(4))
    assert found.steps == found.decisions == 4 and not found.success
    moved = np.linalg.norm(tabletop.world.tcp_pose().translation - before.translation)
    assert moved > 1e-3  # it says no "no motion"


def test_geometry_is_the_released_one_or_the_cameras(folder):
    tabletop = TabletopEnvironment(size=64)
    seen = tabletop.reset(3)
    chunks = [EvaluatedSpatialVla(folder, "lab/1.0.0", geometry=g)(seen) for g in ("released", "measured")]
    assert not np.array_equal(chunks[0].log_probabilities, chunks[1].log_probabilities)
    bare = Observation(seen.image, seen.instruction)
    again = EvaluatedSpatialVla(folder, "lab/1.0.0")(bare)
    assert np.array_equal(again.log_probabilities, chunks[0].log_probabilities)
    with pytest.raises(ValueError, match="geometry=released"):
        EvaluatedSpatialVla(folder, "lab/1.0.0", geometry="measured")(bare)
    with pytest.raises(ValueError, match="'released' or 'measured'"):
        EvaluatedSpatialVla(folder, "lab/1.0.0", geometry="guessed")


def test_a_policy_has_no_error_on_its_own_steps(folder):
    policy = EvaluatedSpatialVla(folder, "lab/1.0.0")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    moments = []
    for image in images:
        seen = Observation(image, "lift the cup")
        chunk = policy(seen)
        moments.append(Sample(seen, np.column_stack((chunk.deltas, chunk.gripper))))
    found = evaluate(policy, moments)
    assert found["policy"]["translation_mm"] == 0.0 and found["standing still"]["translation_mm"] > 1.0


def test_rotations_are_angles_or_vectors(folder):
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    euler, vector = (
        SpatialVlaPolicy.from_folder(folder, "lab/1.0.0", rotations=r)(image, None, None, "go")
        for r in ("euler", "vector")
    )
    wanted = Rotation.from_euler("xyz", vector.deltas[:, 3:]).as_rotvec()
    np.testing.assert_allclose(euler.deltas[:, 3:], wanted)
    assert not np.allclose(euler.deltas[:, 3:], vector.deltas[:, 3:], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="'euler' or 'vector'"):
        SpatialVlaPolicy.from_folder(folder, "lab/1.0.0", rotations="quaternion")

"""Open-loop errors beside loops over the numbers, and the recording that evaluations read."""

import json
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.actions import ActionChunk
from spatial_vla.evaluation import Observation, Sample, open_loop_error
from spatial_vla.evaluation.open_loop import OpenLoop, evaluate, spread
from spatial_vla.evaluation.recorded import RecordedSteps
from spatial_vla_sim.arm import SimulatedArm
from spatial_vla_sim.record import demonstrate
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

RNG = np.random.default_rng(3)


def steps(n=20):
    moved, turned = RNG.normal(0, 0.02, (n, 4, 3)), RNG.normal(0, 0.2, (n, 4, 3))
    return np.concatenate((moved, turned, RNG.integers(0, 2, (n, 4, 1))), axis=-1)


def test_errors_are_those_of_loops_in_millimetres_and_degrees():
    said, was = steps(), steps()
    found = open_loop_error(said, was)
    total, lengths, angles, same = [0.0] * 6, [], [], 0
    for p, q in zip(said.reshape(-1, 7), was.reshape(-1, 7), strict=True):
        for d in range(6):
            total[d] += abs(p[d] - q[d]) * (1000 if d < 3 else 180 / math.pi)
        lengths.append(1000 * math.dist(p[:3], q[:3]))
        between = Rotation.from_rotvec(p[3:6]).inv() * Rotation.from_rotvec(q[3:6])
        angles.append(math.degrees(between.magnitude()))
        same += p[6] == q[6]
    assert list(found["mean"].values()) == pytest.approx([t / 80 for t in total])
    assert found["translation_mm"] == pytest.approx(sum(lengths) / 80)
    assert found["rotation_deg"] == pytest.approx(sum(angles) / 80)
    assert found["gripper"] == pytest.approx(same / 80)
    assert found["by_step"]["translation_mm"][2] == pytest.approx(sum(lengths[2::4]) / 20)


def test_the_same_steps_have_no_error():
    was = steps()
    found = open_loop_error(was, was)
    assert found["translation_mm"] == 0.0 and found["rotation_deg"] < 1e-5 and found["gripper"] == 1.0


@pytest.mark.parametrize(
    ("said", "was", "text"),
    [
        (np.zeros((2, 4, 7)), np.zeros((2, 3, 7)), r"\(2, 4, 7\).*\(2, 3, 7\)"),
        (np.zeros((0, 4, 7)), np.zeros((0, 4, 7)), "N > 0"),
        (np.full((1, 4, 7), np.nan), np.zeros((1, 4, 7)), "NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(said, was, text):
    with pytest.raises(ValueError, match=text):
        open_loop_error(said, was)


class Repeats:
    """Answers with the steps it is given."""

    def __init__(self, answers):
        self.answers, self.resets, self.asked = answers, 0, []

    def reset(self):
        self.resets += 1

    def __call__(self, observation):
        self.asked.append(observation.instruction)
        answer = self.answers[len(self.asked) - 1]
        return ActionChunk(observation.stamp_ns, 0.2, "base", answer[:, :6], answer[:, 6])


def test_a_policy_is_asked_anew_for_every_moment():
    was = steps(6)
    image = np.zeros((8, 8, 3), np.uint8)
    moments = [Sample(Observation(image, f"do {i}"), was[i]) for i in range(6)]
    policy = Repeats(was + np.array([0.001, 0, 0, 0, 0, 0, 0]))
    found = evaluate(policy, moments)
    assert policy.resets == 6 and policy.asked == [f"do {i}" for i in range(6)]
    assert found["policy"]["mean"]["x"] == pytest.approx(1.0) and found["policy"]["gripper"] == 1.0
    lengths = np.linalg.norm(was[..., :3], axis=-1).mean()
    assert found["standing still"]["translation_mm"] == pytest.approx(1000 * lengths)
    short = evaluate(Repeats(was[:, :3]), moments)
    assert short["steps"] == 3
    with pytest.raises(ValueError, match="no moments"):
        evaluate(policy, [])


def test_moments_are_spread_evenly():
    assert spread(range(11), 3) == [0, 5, 10] and spread(range(2), 9) == [0, 1]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A short recording, and for every frame what the simulation knew."""
    folder = tmp_path_factory.mktemp("recording")
    world = World()
    truth, render = [], world.render

    def watched(camera="external"):
        frame = render(camera)
        truth.append((frame, world.tcp_pose(), 2.0 * world.joint_state()[2]))
        return frame

    world.render = watched
    rows = demonstrate(world, SimulatedArm(world), sample_scene(5), np.random.default_rng(0), 3)
    shard = folder / "shard-00000"
    shard.mkdir()
    for name in rows[0]:
        np.save(shard / f"{name}.npy", np.stack([row[name] for row in rows]))
    return folder, truth


def test_a_recorded_frame_is_what_the_simulation_saw(recording):
    folder, truth = recording
    data = RecordedSteps(folder)
    assert len(data) == 3
    for i, (frame, tcp, width) in enumerate(truth):
        o = data[i].observation
        assert np.array_equal(o.image, frame.rgb)
        assert np.abs(o.camera.K - frame.camera.K).max() < 1e-9
        # Points are recorded in half precision: half a millimetre.
        apart = o.base_from_camera.inverse() @ frame.world_from_camera
        assert np.linalg.norm(apart.translation) < 2e-3
        assert np.linalg.norm(apart.rotation - np.eye(3)) < 2e-3
        middles = (slice(2, None, 4), slice(2, None, 4))
        off = np.abs(o.depth[middles] - frame.depth[middles])[np.isfinite(frame.depth[middles])]
        assert np.quantile(off, 0.99) < 3e-3
        np.testing.assert_allclose(o.base_from_tcp.matrix(), tcp.matrix(), atol=1e-5)
        assert o.gripper_width == pytest.approx(width, abs=1e-6)
        assert o.instruction.split()[-1] in ("cube", "cylinder", "ball", "brick")
    with pytest.raises(IndexError, match="frames 0 to 2"):
        data[3]
    with pytest.raises(ValueError, match="give the camera's fovy"):
        RecordedSteps(folder, fovy=70.0)[0]


def test_the_command_measures_the_shipped_policy(recording, tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert OpenLoop(str(recording[0]), moments=3, output=out).run() == 0
    assert "standing still" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["moments"] == 3 and written["device"] and written["policy"]["translation_mm"] < 60
    assert OpenLoop(str(tmp_path / "nothing")).run() == 2
    assert "spatial-vla-record" in capsys.readouterr().err
    assert OpenLoop(str(recording[0]), policy="unheard").run() == 2
    assert "expected shipped, spatialvla or package.module:Class" in capsys.readouterr().err

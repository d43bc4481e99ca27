"""The LIBERO adapter against a stand-in for the package: which actions arrive, what comes back, what is absent."""

import sys
from pathlib import Path

import numpy as np
import pytest
from spatial_models.libero import LiberoEnvironment
from spatial_vla.actions import ActionChunk
from spatial_vla.evaluation import run_episode

# What the adapter uses of LIBERO. An action moves the hand by 5 cm at full deflection; the task is done 10 cm up.
STAND_IN = """
import numpy as np

class Task:
    problem_folder, bddl_file = "folder", "task.bddl"
    def __init__(self, number): self.language = f"do task {number}"

class Suite:
    n_tasks = 3
    def get_task(self, number): return Task(number)
    def get_task_init_states(self, number): return np.arange(50.0)[:, None] + 100 * number

class OffScreenRenderEnv:
    def __init__(self, bddl_file_name, camera_heights, camera_widths):
        assert bddl_file_name.endswith("folder/task.bddl")
        self.size = camera_heights
    def seed(self, number): assert number == 0
    def reset(self): self.hand, self.width = np.zeros(3), 0.04
    def set_init_state(self, state):
        self.state = float(state[0])
        return self.seen()
    def seen(self):
        image = np.zeros((self.size, self.size, 3), np.uint8)
        image[0, 0] = int(self.state)  # bottom right once it is turned
        return {"agentview_image": image, "robot0_eef_pos": self.hand.copy(),
                "robot0_eef_quat": np.array([0.0, 0.0, 0.0, 1.0]),
                "robot0_gripper_qpos": np.array([self.width, -self.width])}
    def step(self, action):
        print("robosuite talks")  # must not get among the replies
        assert len(action) == 7 and max(map(abs, action)) <= 1.0
        self.hand += 0.05 * np.array(action[:3])
        self.width = 0.04 if action[6] < 0 else 0.0
        return self.seen(), 0.0, bool(self.hand[2] > 0.0999), {}
    def close(self): pass
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    inner = tmp_path / "libero/libero"
    inner.mkdir(parents=True)
    (tmp_path / "libero/__init__.py").touch()
    (inner / "__init__.py").write_text("def get_libero_path(name):\n    return '/' + name\n")
    (inner / "envs.py").write_text(STAND_IN)
    (inner / "benchmark.py").write_text(
        "from .envs import Suite\ndef get_benchmark_dict():\n    return {'libero_goal': Suite}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def chunk(z, gripper):
    deltas = np.zeros((4, 6))
    deltas[:, 2] = z
    return ActionChunk(0, 0.05, "base", deltas, np.full(4, gripper))


def test_a_task_is_its_seed_and_its_picture_upright(stand_in):
    libero = LiberoEnvironment("libero_goal", size=32, python=sys.executable)
    try:
        seen = libero.reset(3 * 7 + 2)  # task 2, initial state 7
        assert seen.instruction == "do task 2" and libero.most_steps == 300
        assert seen.image.shape == (32, 32, 3) and seen.image[-1, -1].tolist() == [207] * 3
        assert seen.image.sum() == 3 * 207
        assert seen.gripper_width == pytest.approx(0.08) and seen.depth is None
    finally:
        libero.close()


def test_steps_are_metres_or_what_the_data_hold_and_the_gripper_is_turned_round(stand_in):
    for units, step in (("si", 0.02), ("controller", 0.4)):
        libero = LiberoEnvironment("libero_goal", task=0, units=units, size=8, python=sys.executable)
        libero.reset(0)
        seen = libero.step(chunk(step, 0.0), 2)
        assert seen.base_from_tcp.translation == pytest.approx([0, 0, 0.04]) and not libero.ended
        assert seen.gripper_width == 0.0 and seen.stamp_ns == 100_000_000
        seen = libero.step(chunk(step, 1.0), 4)  # three of them do
        assert libero.ended and libero.verdict().success and seen.stamp_ns == 250_000_000
        assert seen.gripper_width == pytest.approx(0.08)
        libero.close()


def test_episodes_run_to_the_end(stand_in):
    class Lifts:
        def reset(self):
            pass

        def __call__(self, observation):
            return chunk(0.01, 1.0)

    libero = LiberoEnvironment("libero_goal", units="si", size=8, python=sys.executable)
    try:
        found = [run_episode(libero, Lifts(), seed, execute=2) for seed in (0, 1)]
    finally:
        libero.close()
    assert [r.success for r in found] == [True, True] and found[1].instruction == "do task 1"
    assert found[0].decisions == 5


def test_what_is_absent_is_said(tmp_path, stand_in, monkeypatch):
    with pytest.raises(FileNotFoundError, match="pip install libero"):
        LiberoEnvironment(python=tmp_path / "python")
    with pytest.raises(ValueError, match="expected one of libero_spatial"):
        LiberoEnvironment("libero_moon", python=sys.executable)
    libero = LiberoEnvironment("libero_goal", task=9, python=sys.executable)
    with pytest.raises(RuntimeError, match="tasks 0 to 2"):
        libero.reset(0)
    libero.close()
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(RuntimeError, match=r"(?s)No module named 'libero'.*pip install libero"):
        LiberoEnvironment("libero_goal", python=sys.executable)


def test_libero_itself_starts():
    """Where it is installed: a task begins, and a step passes."""
    place = Path(sys.prefix).parent / ".venv-libero/bin/python"
    if not place.exists():
        pytest.skip("no .venv-libero")
    libero = LiberoEnvironment("libero_spatial", task=0, size=64, python=place)
    seen = libero.reset(0)
    assert seen.image.shape == (64, 64, 3) and seen.image.std() > 1.0
    libero.step(chunk(0.0, 1.0), 1)
    libero.close()

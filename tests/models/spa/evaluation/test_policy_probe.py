"""Imitation of an expert from pictures: the protocol on a made-up task, and Meta-World itself where it is installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from spatial_models.spa.evaluation.behaviour_cloning import Episode, acting, imitate
from spatial_models.spa.evaluation.metaworld import MetaWorld, Observation, interpreter
from spatial_models.spa.evaluation.policy_probe import PolicyProbeArgs, demonstrate, play, probe, success_rate


class Reach:
    """Bring a dot to the middle of a picture: a stand-in for Meta-World with the same calls."""

    task = "reach the middle"

    def request(self, call: str, argument=None) -> None:
        if call == "reset":
            self.rng = np.random.default_rng(int(argument))
            self.at, self.action = self.rng.uniform(3, 28, 2), None
            return
        self.action = self.expert() if call == "expert_step" else np.asarray(argument, np.float32)
        self.at = (self.at + 2.0 * np.clip(self.action[:2], -1, 1)).clip(0, 31)

    def expert(self) -> np.ndarray:
        return np.array([*np.clip((15.5 - self.at) / 8.0, -1, 1), 0.0, 0.0], np.float32)

    def observe(self) -> Observation:
        image = np.zeros((32, 32, 3), np.uint8)
        x, y = np.round(self.at).astype(int)
        image[y, x] = 255
        success = bool(np.abs(self.at - 15.5).max() < 1.5)
        return Observation(image, np.zeros(4, np.float32), success, self.action)


class Finder:
    """Where the bright dot is, as features."""

    image_size = 32

    def __call__(self, image: torch.Tensor, feature_map: bool = False, cat_cls: bool = True) -> torch.Tensor:
        assert not feature_map and image.max() <= 1.0
        weight = image.mean(dim=1) + 1e-9
        weight = weight / weight.sum(dim=(1, 2), keepdim=True)
        place = torch.linspace(-1, 1, 32)
        return torch.stack(
            ((weight * place[None, None]).sum((1, 2)), (weight * place[None, :, None]).sum((1, 2))), dim=1
        )


def args(**changes) -> PolicyProbeArgs:
    return PolicyProbeArgs(
        "", "", **({"demonstrations": 12, "rollouts": 8, "epochs": 60, "every": 30, "horizon": 40} | changes)
    )


def test_the_protocol_succeeds_on_an_easy_task() -> None:
    figures = probe(Finder(), [Reach(), Reach()], args())
    assert figures["test"]["success"] >= 0.75 and figures["test"]["rollouts"] == 8
    assert [e["epoch"] for e in figures["evaluations"]] == [30, 60]
    assert figures["best_of_evaluations"] == max(e["success"] for e in figures["evaluations"])
    json.dumps(figures)


def test_features_without_the_picture_do_not() -> None:
    class Blind(Finder):
        def __call__(
            self, image: torch.Tensor, feature_map: bool = False, cat_cls: bool = True
        ) -> torch.Tensor:
            return torch.zeros(len(image), 2)

    assert probe(Blind(), [Reach()], args(epochs=10, every=10))["test"]["success"] <= 0.4


def test_the_last_frame_comes_with_the_changes_that_led_to_it() -> None:
    episode = Episode(
        0, [torch.tensor([float(k**2)]) for k in range(5)], [torch.tensor([10.0 + k]) for k in range(5)]
    )
    assert episode.policy_input().tolist() == [16.0, 7.0, 5.0, 14.0]
    assert episode.policy_input(1).tolist() == [
        1.0,
        1.0,
        0.0,
        11.0,
    ]  # before the start the first frame stands
    assert episode.policy_input(0).tolist() == [0.0, 0.0, 0.0, 10.0]


def test_episodes_do_not_depend_on_how_many_run_at_once() -> None:
    runs = []
    for number in (1, 3):
        episodes = sorted(
            play([Reach() for _ in range(number)], Finder(), range(7), 40, None), key=lambda e: e.seed
        )
        runs.append([(e.seed, e.success, torch.stack(e.features)) for e in episodes])
        assert all(len(e.features) == len(e.actions) + 1 == len(e.proprioception) for e in episodes)
    for (seed, success, features), (other_seed, other_success, other) in zip(*runs, strict=True):
        assert (seed, success) == (other_seed, other_success) and torch.allclose(features, other, atol=1e-6)


def test_an_expert_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"expert of reach the middle succeeded in \d of \d+ episodes"):
        demonstrate([Reach()], Finder(), 3, horizon=1)


def test_the_policy_fits_and_repeats() -> None:
    demonstrations = list(play([Reach()], Finder(), range(5), 40, None))
    runs = [list(imitate(demonstrations, epochs=20, batch=16)) for _ in range(2)]
    assert runs[0][-1][1] < 0.5 * runs[0][0][1]
    actions = [acting(run[-1][2])(demonstrations[:2]) for run in runs]
    assert torch.equal(*actions) and actions[0].shape == (2, 4)
    with pytest.raises(ValueError, match="two or more"):
        next(imitate([Episode(0)]))


def test_wilson_interval() -> None:
    rate = success_rate(20, 25)
    assert rate["success"] == 0.8 and rate["ci95"] == pytest.approx([0.6087, 0.9114], abs=1e-4)


def test_a_missing_interpreter_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"python3 -m venv \.venv-metaworld"):
        interpreter(tmp_path / "python")


def test_an_interpreter_without_metaworld_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"has no Meta-World[\s\S]*pip install"):
        MetaWorld("hammer-v3", renderer="rays", python=Path(sys.executable))


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        found = interpreter()
    except FileNotFoundError as error:
        pytest.skip(f"Meta-World is not installed: {error}")
    return found


@pytest.fixture(scope="module")
def button(python: Path):
    with MetaWorld("button-press-topdown-v3", size=64, renderer="rays", python=python) as environment:
        yield environment


def test_metaworld_starts_where_the_seed_says(button: MetaWorld) -> None:
    first = button.reset(5)
    assert first.image.shape == (64, 64, 3) and first.image.std() > 20 and first.proprioception.shape == (4,)
    assert first.action is None and not first.success
    other = button.reset(6)
    assert not np.array_equal(first.image, other.image)
    button.step([0.0, 1.0, 0.0, 0.0])
    again = button.reset(5)
    assert np.array_equal(first.image, again.image) and np.array_equal(
        first.proprioception, again.proprioception
    )


def test_rays_need_no_graphics_library(button: MetaWorld) -> None:
    button.reset(0)
    loaded = Path(f"/proc/{button.pid}/maps").read_text()
    assert "mujoco" in loaded
    assert not [name for name in ("libEGL", "libOSMesa", "libGL.so", "libOpenGL") if name in loaded]


def test_rays_and_opengl_show_the_same_scene(button: MetaWorld, python: Path) -> None:
    try:
        with MetaWorld(button.task, size=64, renderer="gl", python=python) as drawn:
            expected = drawn.reset(3).image.astype(float)
    except RuntimeError as error:
        pytest.skip(str(error))
    found = button.reset(3).image.astype(float)
    assert np.median(np.abs(found - expected)) < 20
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9


def test_metaworld_obeys(button: MetaWorld) -> None:
    start = button.reset(0).proprioception
    for _ in range(10):
        moved = button.step([1.0, 0.0, 0.0, 0.0]).proprioception
    assert moved[0] > start[0] + 0.03 and abs(moved[1] - start[1]) < 0.02


def test_metaworlds_expert_succeeds_and_is_imitated(button: MetaWorld) -> None:
    class Small(Finder):
        def __call__(
            self, image: torch.Tensor, feature_map: bool = False, cat_cls: bool = True
        ) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(image, 8).flatten(1)

    settings = args(demonstrations=2, rollouts=2, epochs=4, every=4, horizon=120)
    figures = probe(Small(), [button], settings)
    assert 40 < figures["demonstration_steps"] < 240
    assert len(figures["evaluations"]) == 1 and figures["test"]["rollouts"] == 2


def test_metaworlds_errors_arrive(python: Path) -> None:
    with pytest.raises(RuntimeError, match=r"no task 'fold-laundry-v3'.*hammer-v3"):
        MetaWorld("fold-laundry-v3", renderer="rays", python=python)
    with pytest.raises(RuntimeError, match=r"no camera 'ceiling'.*corner2"):
        MetaWorld("hammer-v3", "ceiling", renderer="rays", python=python)


def test_command_line(python: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spatial_models.spa.evaluation.policy_probe", str(tiny_checkpoint)]
    command += ["reach-v3", "--renderer", "rays", "--demonstrations", "1", "--rollouts", "1", "--epochs", "1"]
    command += [
        "--workers",
        "1",
        "--horizon",
        "60",
        "--python",
        str(python),
        "--out",
        str(tmp_path / "p.json"),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads((tmp_path / "p.json").read_text())["test"]["rollouts"] == 1
    assert "reach-v3: success" in done.stdout

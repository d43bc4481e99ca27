"""Episodes of any policy in any environment: what the runner promises, and the real simulation."""

import json

import numpy as np
import pytest
from spatial_vla.actions import ActionChunk, ActionEnsemble
from spatial_vla.cli.eval import Eval
from spatial_vla.evaluation import Observation, Verdict, run_episode
from spatial_vla.evaluation.closed_loop import ClosedLoop
from spatial_vla.evaluation.named import ENVIRONMENTS, made
from spatial_vla.evaluation.shipped import BundledPolicy
from spatial_vla_sim.environment import TabletopEnvironment

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Line:
    """A point on a line; done when it is past the seed."""

    most_steps = 12

    def reset(self, seed):
        self.goal, self.at, self.done, self.closed = seed, 0.0, 0, False
        return Observation(IMAGE, f"go to {seed}")

    def step(self, chunk, steps):
        self.at += float(chunk.deltas[:steps, 0].sum())
        self.done += steps
        return Observation(IMAGE, f"go to {self.goal}", self.done)

    @property
    def ended(self):
        return self.at >= self.goal

    def verdict(self):
        return Verdict(self.ended, "" if self.ended else "short")

    def close(self):
        self.closed = True


class Walks:
    """One step forward at a time, and a count of what it was asked."""

    def __init__(self):
        self.resets = self.asked = 0

    def reset(self):
        self.resets += 1

    def __call__(self, observation):
        self.asked += 1
        deltas = np.zeros((4, 6))
        deltas[:, 0] = 1.0
        return ActionChunk(observation.stamp_ns, 0.2, "base", deltas, np.ones(4))


@pytest.mark.parametrize(("execute", "decisions", "steps"), [(1, 5, 5), (2, 3, 6), (4, 2, 8)])
def test_an_episode_ends_when_the_environment_says_so(execute, decisions, steps):
    policy = Walks()
    found = run_episode(Line(), policy, 5, execute=execute)
    assert (found.success, found.reason, found.steps, found.decisions) == (True, "", steps, decisions)
    assert policy.resets == 1 and policy.asked == decisions and found.instruction == "go to 5"


def test_an_episode_takes_no_more_steps_than_it_may():
    found = run_episode(Line(), Walks(), 100, execute=4)
    assert (found.success, found.reason, found.steps) == (False, "short", 12)
    assert run_episode(Line(), Walks(), 13, execute=4).steps == 12
    with pytest.raises(ValueError, match="5 steps to do of a chunk of 4"):
        run_episode(Line(), Walks(), 3, execute=5)


def test_an_ensemble_starts_anew_with_every_episode():
    class Doubts(Walks):
        def __call__(self, observation):
            chunk = super().__call__(observation)
            chunk.deltas[:, 0] = self.asked
            return chunk

    line, ensemble = Line(), ActionEnsemble(2, 0.0)
    first = run_episode(line, Doubts(), 4, ensemble=ensemble)
    assert (line.at, first.steps) == (1 + 1.5 + 2.5, 3)
    run_episode(line, Doubts(), 1, ensemble=ensemble)
    assert line.at == 1.0


@pytest.fixture(scope="module")
def tabletop():
    return TabletopEnvironment(task="touch")


def test_the_shipped_policy_touches_what_it_is_told_to(tabletop):
    policy = BundledPolicy()
    found = [run_episode(tabletop, policy, seed) for seed in (1001, 1002)]
    assert any(r.success for r in found), [r.reason for r in found]
    for result in found:
        assert result.instruction.split()[0] in ("touch", "tap") and 5 < result.steps <= tabletop.most_steps
    assert (
        run_episode(tabletop, policy, 1001).steps == found[0].steps
    )  # nothing is left of the episodes before


def test_a_policy_that_rests_ends_its_episode(tabletop):
    class Rests(Walks):
        def __call__(self, observation):
            return ActionChunk(observation.stamp_ns, 0.2, "panda_link0", np.zeros((4, 6)), np.ones(4))

    found = run_episode(tabletop, Rests(), 3)
    assert (found.success, found.steps) == (False, 5) and found.reason


def test_a_policy_says_what_an_observation_lacks():
    with pytest.raises(ValueError, match="no depth, camera, base_from_camera"):
        BundledPolicy()(Observation(IMAGE, "touch the red cube"))


def test_the_command_counts_successes(tmp_path, capsys):
    out = tmp_path / "figures.json"
    command = ClosedLoop(environment_options=("task=touch",), episodes=1, seed=1001, ensemble=2, output=out)
    assert command.run() == 0
    assert "1 episodes, success" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["outcomes"][0]["seed"] == 1001 and written["settings"]["ensemble"] == 2


@pytest.mark.parametrize("verb", ["put", "touch"])
def test_the_expert_makes_words_about_places_true(verb, tmp_path, capsys):
    out, options = tmp_path / "figures.json", (f"verb={verb}", "size=32")
    command = ClosedLoop("places", options, "expert", episodes=1, seed=3, output=out)
    assert command.run() == 0
    (outcome,) = json.loads(out.read_text())["outcomes"]
    assert outcome["success"] and outcome["instruction"].startswith(verb) and 5 < outcome["steps"] < 120
    capsys.readouterr()


def test_a_policy_that_does_not_know_places_says_what_it_knows(capsys):
    assert ClosedLoop("places", episodes=1, seed=3).run() == 2
    assert "is not understood" in (said := capsys.readouterr().err) and "(touch | tap | point at" in said
    assert Eval(task="place").run() == 2
    assert "no episode was run" in (said := capsys.readouterr().err)
    assert "trained to touch, point, pick an object" in said and "are reserved, not trained" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"environment": "moon"}, "expected tabletop, places, libero or package.module:Class"),
        ({"environment_options": ("colour=red",)}, "does not take colour=red"),
        ({"environment_options": ("touch",)}, "expected key=value"),
        ({"policy": "expert", "environment": f"{__name__}:Line"}, "has no expert"),
        ({"environment": "places", "environment_options": ("verb=throw",)}, "expected put, touch, point"),
        ({"environment": "nowhere.at.all:Thing"}, "not installed"),
        ({"episodes": 0}, "one at least"),
    ],
)
def test_what_cannot_be_run_is_said(options, said, capsys):
    assert ClosedLoop(**options).run() == 2
    assert said in capsys.readouterr().err


def test_names_stand_for_classes():
    with pytest.raises(ValueError, match="has no Nothing"):
        made(ENVIRONMENTS, "spatial_vla_sim.environment:Nothing")

"""Averages of predictions, beside what a loop over the published rules says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.actions import ActionChunk, ActionEnsemble


def simpler_env(history, temperature, window):
    """The step to do now, as SimplerEnv's wrapper averages it: the newest chunks, oldest first, each at its age."""
    kept = history[-window:]
    weights, total = [], [0.0] * len(kept[0][0])
    for i, chunk in enumerate(kept):
        age = len(kept) - 1 - i
        weight = math.exp(-temperature * i)
        weights.append(weight)
        total = [t + weight * value for t, value in zip(total, chunk[age], strict=True)]
    return [t / sum(weights) for t in total]


def cogact(history, alpha, window):
    kept = history[-window:]
    now = [chunk[len(kept) - 1 - i] for i, chunk in enumerate(kept)]
    newest = now[-1]
    weights = []
    for said in now:
        dot = sum(a * b for a, b in zip(said, newest, strict=True))
        size = math.sqrt(sum(a * a for a in said)) * math.sqrt(sum(b * b for b in newest)) + 1e-7
        weights.append(math.exp(alpha * dot / size))
    return [
        sum(w * s[d] for w, s in zip(weights, now, strict=True)) / sum(weights) for d in range(len(newest))
    ]


chunks = st.lists(
    st.lists(st.lists(st.floats(-1, 1), min_size=7, max_size=7), min_size=4, max_size=4),
    min_size=1,
    max_size=9,
)


@given(chunks, st.floats(-2, 2), st.integers(1, 4))
def test_the_step_to_do_now_is_simpler_envs(history, temperature, window):
    ensemble = ActionEnsemble(window, temperature)
    for done in range(1, len(history) + 1):
        found = ensemble(history[done - 1])[0]
        np.testing.assert_allclose(found, simpler_env(history[:done], temperature, window), atol=1e-9)


@given(chunks, st.floats(-3, 3))
def test_agreement_weighs_as_cogact_does(history, alpha):
    ensemble = ActionEnsemble(4, agreement=alpha)
    for done in range(1, len(history) + 1):
        np.testing.assert_allclose(
            ensemble(history[done - 1])[0], cogact(history[:done], alpha, 4), atol=1e-9
        )


def test_every_row_averages_what_was_said_of_that_step():
    """Two steps pass between predictions; step n is predicted as n by whichever chunk."""
    ensemble = ActionEnsemble(4, 0.0)
    for start in (0, 2, 4, 6):
        steps = np.arange(start, start + 4)[:, None] + np.zeros(2)
        np.testing.assert_allclose(ensemble(steps, elapsed=2), steps)
    off = ensemble(np.full((4, 2), 20.0), elapsed=2)  # of 8 and 9 the chunk at 6 said 8 and 9
    np.testing.assert_allclose(off[:, 0], [14.0, 14.5, 20.0, 20.0])


@given(chunks, st.floats(-2, 2))
def test_a_mean_lies_between_the_predictions(history, temperature):
    ensemble = ActionEnsemble(4, temperature)
    for i, chunk in enumerate(history):
        found = ensemble(chunk)[0]
        said = np.array([history[i - age][age] for age in range(min(4, i + 1))])
        assert (found >= said.min(0) - 1e-9).all() and (found <= said.max(0) + 1e-9).all()


def test_one_prediction_or_a_reset_changes_nothing():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4, 7))
    single, several = ActionEnsemble(1), ActionEnsemble(4)
    single(first), several(first)
    assert np.array_equal(single(second), second)
    several.reset()
    assert np.array_equal(several(second), second)


def test_a_chunk_keeps_its_moment_and_loses_its_tokens():
    def chunk(x, gripper, stamp):
        deltas = np.zeros((4, 6))
        deltas[:, 0] = x
        return ActionChunk(stamp, 0.2, "base", deltas, np.full(4, gripper), token_ids=np.zeros((4, 3), int))

    ensemble = ActionEnsemble(2, -math.log(3.0))  # the newer one weighs three times as much
    ensemble.chunk(chunk(0.0, 0.0, 1))
    found = ensemble.chunk(chunk(0.04, 1.0, 2))
    assert found.stamp_ns == 2 and found.token_ids is None
    np.testing.assert_allclose(found.deltas[:, 0], [0.03, 0.03, 0.03, 0.04])
    assert found.gripper.tolist() == [1.0] * 4
    assert ensemble.chunk(chunk(0.0, 0.0, 3)).gripper.tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ActionEnsemble(0), "0 predictions"),
        (lambda: ActionEnsemble(4, math.nan), "finite"),
        (lambda: ActionEnsemble()(np.full((4, 7), math.inf)), "finite"),
        (lambda: ActionEnsemble()(np.zeros(7)), r"\(T, D\)"),
        (lambda: ActionEnsemble()(np.zeros((4, 7)), elapsed=0), "0 steps elapsed"),
        (lambda: [e := ActionEnsemble(), e(np.zeros((4, 7))), e(np.zeros((2, 7)))], r"\(4, 7\); reset"),
    ],
)
def test_what_cannot_be_averaged_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()

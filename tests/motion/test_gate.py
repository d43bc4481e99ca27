"""The gate: malformed, foreign, stale and repeated chunks do not pass, and every refusal is counted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.actions import ActionChunk
from spatial_vla.motion import GateSettings
from spatial_vla.motion.gate import ActionGate

from .rig import steps

NOW = 10_000_000_000


def chunk(**fields):
    base = ActionChunk(NOW - 50_000_000, 0.2, "panda_link0", steps(0.01), np.ones(4), chunk_id=1)
    return replace(base, **fields)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"frame": "panda_tcp"}, "frame 'panda_tcp'"),
        ({"frame": ""}, "frame ''"),
        ({"deltas": np.zeros((4, 5))}, "shape"),
        ({"deltas": np.zeros(6)}, "shape"),
        ({"deltas": np.zeros((0, 6)), "gripper": np.zeros(0)}, "shape"),
        ({"deltas": np.zeros((65, 6)), "gripper": np.zeros(65)}, "shape"),
        ({"gripper": np.ones(3)}, "gripper has shape"),
        ({"gripper": np.array([1, 1, np.nan, 1])}, "NaN"),
        ({"gripper": np.array([1, 1, 9.0, 1])}, "outside"),
        ({"deltas": np.full((4, 6), np.nan)}, "NaN"),
        ({"deltas": steps(np.inf)}, "NaN or infinity"),
        ({"deltas": steps(0, 1.0)}, "absurd"),
        ({"deltas": steps(1e308, 1e308)}, "absurd"),
        ({"dt": 0.0}, "duration"),
        ({"dt": float("nan")}, "duration"),
        ({"stamp_ns": NOW + 60_000_000}, "future"),
    ],
)
def test_refused_with_a_reason_and_counted(fields, why):
    gate = ActionGate(GateSettings())
    verdict, _ = gate.check(chunk(**fields), NOW)
    assert not verdict and why in verdict.reason
    assert gate.counts["rejected"] == 1 and gate.counts["accepted"] == 0


def test_a_chunk_whose_time_has_passed_is_late():
    gate = ActionGate(GateSettings())
    assert not gate.check(chunk(stamp_ns=NOW - 800_000_000), NOW)[0]
    assert gate.counts["late"] == 1
    assert gate.check(chunk(stamp_ns=NOW - 790_000_000), NOW)[0]


def test_ids_and_stamps_must_increase():
    gate = ActionGate(GateSettings())
    assert gate.check(chunk(chunk_id=5), NOW)[0]
    assert not gate.check(chunk(chunk_id=5, stamp_ns=NOW), NOW)[0]
    assert not gate.check(chunk(chunk_id=4, stamp_ns=NOW), NOW)[0]
    assert not gate.check(chunk(chunk_id=6), NOW)[0]
    assert gate.check(chunk(chunk_id=6, stamp_ns=NOW), NOW)[0]


def test_a_restarted_sender_is_heard_after_a_silence_or_when_told():
    gate = ActionGate(GateSettings())
    assert gate.check(chunk(chunk_id=50), NOW)[0]
    later = NOW + 1_000_000_000
    assert gate.check(chunk(chunk_id=1, stamp_ns=later), later)[0]
    gate.forget()
    assert gate.check(chunk(chunk_id=1, stamp_ns=later), later)[0]


large = st.floats(-0.6, 0.6)


@given(st.lists(st.tuples(*[large] * 6), min_size=1, max_size=6))
def test_steps_that_pass_are_no_longer_than_the_caps_and_point_the_same_way(rows):
    deltas, settings = np.array(rows), GateSettings()
    verdict, passed = ActionGate(settings).check(chunk(deltas=deltas, gripper=np.ones(len(rows))), NOW)
    assert verdict
    for part, cap in ((slice(0, 3), settings.max_translation), (slice(3, 6), settings.max_rotation)):
        before, after = deltas[:, part], passed.deltas[:, part]
        length = np.linalg.norm(before, axis=1)
        np.testing.assert_allclose(np.linalg.norm(after, axis=1), np.minimum(length, cap), rtol=1e-9)
        np.testing.assert_allclose(np.cross(before, after), 0.0, atol=1e-12)
        np.testing.assert_array_equal(after[length <= cap], before[length <= cap])


def test_shortened_steps_are_counted():
    gate = ActionGate(GateSettings())
    verdict, _ = gate.check(chunk(deltas=steps(0.07)), NOW)
    assert verdict and "0.07" in verdict.reason and gate.counts["clamped"] == 1


def test_over_limit_steps_can_be_refused_instead():
    gate = ActionGate(GateSettings(over_limit="reject"))
    assert gate.check(chunk(), NOW)[0]
    verdict, _ = gate.check(chunk(deltas=steps(0, 0, 0.07), chunk_id=2, stamp_ns=NOW), NOW)
    assert not verdict and "0.07" in verdict.reason
    assert gate.counts["rejected"] == 1

"""The fault campaign's checker finds nothing wrong with what the motion stage sends, and every wrong that is put in."""

import sys
from pathlib import Path

import numpy as np
import pytest

from .rig import steps

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def checker(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from limit_checker import LimitChecker

    yield LimitChecker()
    sys.modules.pop("limit_checker", None)


def rows(command):
    points = command.points
    times = [p.time_from_start for p in points]
    return times, np.array([p.positions for p in points]), np.array([p.velocities for p in points])


def test_real_commands_pass_and_doctored_ones_do_not(rig, checker):
    rig.run(steps(0.05, 0.03)[0], 0.8)
    for i, command in enumerate(rig.commands[2:]):
        checker.command(1.0 + 0.01 * i, *rows(command))
    assert not +checker.violations and checker.samples > 1000
    now, (times, q, dq) = 1.0 + 0.01 * len(rig.commands), rows(rig.commands[-1])
    for change, kind in (
        (lambda: checker.command(now, times, q + np.nan, dq), "not finite"),
        (lambda: checker.command(now, times, q, dq + 0.1), "does not end at rest"),
        (lambda: checker.command(now, times, q + 0.2, dq), "step between commands"),
        (lambda: checker.command(now + 9, times, q + 4.0, dq), "joint position"),
        (
            lambda: checker.command(now + 18, times, q * np.linspace(1, 3, len(q))[:, None], dq),
            "joint velocity",
        ),
        (lambda: checker.command(now + 27, times[::-1], q, dq), "times do not increase"),
    ):
        before = checker.violations[kind]
        change()
        assert checker.violations[kind] > before, kind


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda i, q, dq: (q + 0.025 * (-1) ** i * np.eye(7)[0], dq), "driven acceleration"),
        (
            lambda i, q, dq: (q, np.where(np.arange(len(q))[:, None] < 1, dq + (-1) ** i, dq)),
            "driven acceleration",
        ),
        (lambda i, q, dq: (q + 0.02 * i * np.eye(7)[0], dq), "driven velocity"),
        (lambda i, q, dq: (q + 0.007 * i * np.eye(7)[0], dq), "speed of the tool"),
    ],
)
def test_what_is_wrong_from_command_to_command_is_seen(rig, checker, wrong, kind):
    """Every one of them, taken by itself, is a good way to rest."""
    for i in range(60):
        command = rig.controller.step(rig.now_ns)
        times, q, dq = rows(command)
        q, dq = np.repeat(q, 2, axis=0)[: max(2, len(q))], np.repeat(dq, 2, axis=0)[: max(2, len(dq))]
        times = [0.01, 0.05][: len(q)] if len(times) < 2 else times
        checker.command(1.0 + 0.01 * i, times, *wrong(i, q, dq))
        rig.measure()
        rig.advance()
    assert checker.violations[kind] > 10, (checker.violations, checker.worst)


def test_a_command_that_takes_over_a_period_late_is_not_blamed(rig, checker):
    rig.run(steps(0.05, 0.03)[0], 0.8)
    late = np.random.default_rng(0)
    for i, command in enumerate(rig.commands[2:]):
        checker.command(1.0 + 0.01 * i + 0.01 * late.integers(0, 2), *rows(command))
    assert not +checker.violations

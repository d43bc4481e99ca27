"""What a step loses when it is written in tokens, and how many tokens that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from .grid import ActionGrid, Array

STILL = 1e-4  # normalised; normalising leaves a little of zero
DIMENSIONS = ("x", "y", "z", "roll", "pitch", "yaw")


class Quantiser(Protocol):
    """A way to write normalised steps as tokens."""

    @property
    def vocabulary(self) -> int:
        """Number of distinct action tokens."""
        ...

    @property
    def tokens_per_step(self) -> int:
        """Tokens that a step takes, gripper included."""
        ...

    def reconstruct(self, actions: Array) -> Array:
        """Steps (N, 6) in [-1, 1] as they come back from their tokens."""
        ...


@dataclass(frozen=True)
class GridCells:
    """Three tokens a step, from an action grid in normalised units."""

    grid: ActionGrid

    @property
    def vocabulary(self) -> int:
        """Number of distinct action tokens."""
        return sum(self.grid.cells)

    @property
    def tokens_per_step(self) -> int:
        """Translation, rotation and gripper."""
        return 3

    def reconstruct(self, actions: Array) -> Array:
        """Steps (N, 6) in [-1, 1] as they come back from their tokens."""
        decoded, _ = self.grid.decode(self.grid.encode(actions, np.ones(len(actions))))
        return np.clip(decoded, -1.0, 1.0)


@dataclass(frozen=True)
class AxisBins:
    """A token for each number of a step: equal bins of [-1, 1], as in RT-2 and OpenVLA."""

    bins: int = 256

    @property
    def vocabulary(self) -> int:
        """All numbers share the tokens."""
        return self.bins

    @property
    def tokens_per_step(self) -> int:
        """Six numbers and the gripper."""
        return 7

    def reconstruct(self, actions: Array) -> Array:
        """Steps (N, 6) in [-1, 1] as they come back from their tokens."""
        width = 2.0 / self.bins
        cell = np.clip(np.floor((actions + 1.0) / width), 0, self.bins - 1)
        return (cell + 0.5) * width - 1.0


@dataclass(frozen=True)
class QuantisationError:
    """Errors of one quantiser over an action set, in the unit of ``scale``.

    Attributes:
        vocabulary, tokens_per_step: its cost.
        mean, largest: absolute error by dimension, see :data:`DIMENSIONS`.
        translation, rotation: mean length of the error vector.
        still: mean length of the translation that steps without any come back with; NaN without such steps.
    """

    vocabulary: int
    tokens_per_step: int
    mean: tuple[float, ...]
    largest: tuple[float, ...]
    translation: float
    rotation: float
    still: float

    def fields(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def quantisation_error(quantiser: Quantiser, actions: ArrayLike, scale: ArrayLike = 1.0) -> QuantisationError:
    """The error of a quantiser.

    Args:
        actions: (N, 6 or more) normalised; clipped to [-1, 1] first, which is not counted as an error.
        scale: (6,) or one number that turns normalised units into those to report, for example half the distance
            of the quantiles.

    Raises:
        ValueError: there are no actions, or NaN or infinite ones.
    """
    rows = np.asarray(actions, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 6 or not len(rows) or not np.isfinite(rows).all():
        raise ValueError(
            f"actions must be finite with shape (N, 6 or more) and N > 0, got shape {rows.shape}"
        )
    rows = np.clip(rows[:, :6], -1.0, 1.0)
    units = np.broadcast_to(np.asarray(scale, dtype=np.float64), (6,))
    back = quantiser.reconstruct(rows)
    error = np.abs(back - rows) * units
    at_rest = back[np.abs(rows[:, :3]).max(axis=1) < STILL, :3] * units[:3]
    return QuantisationError(
        quantiser.vocabulary,
        quantiser.tokens_per_step,
        tuple(error.mean(0).tolist()),
        tuple(error.max(0).tolist()),
        float(np.linalg.norm(error[:, :3], axis=1).mean()),
        float(np.linalg.norm(error[:, 3:], axis=1).mean()),
        float(np.linalg.norm(at_rest, axis=1).mean()) if len(at_rest) else float("nan"),
    )


def quantisation_report(
    quantisers: Mapping[str, Quantiser], actions: ArrayLike, scale: ArrayLike = 1.0
) -> dict[str, QuantisationError]:
    """The error of several quantisers on the same actions."""
    return {name: quantisation_error(q, actions, scale) for name, q in quantisers.items()}


def as_table(report: Mapping[str, QuantisationError], digits: int = 4) -> str:
    """A Markdown table: vocabulary, tokens a step, mean error (largest error) by dimension."""
    head = ["grid", "tokens", "per step", *DIMENSIONS, "translation", "rotation", "no motion becomes"]
    rows = [head, ["---"] * len(head)]
    for name, found in report.items():
        pairs = zip(found.mean, found.largest, strict=True)
        cells = [f"{mean:.{digits}f} ({most:.{digits}f})" for mean, most in pairs]
        lengths = [f"{v:.{digits}f}" for v in (found.translation, found.rotation, found.still)]
        rows.append([name, str(found.vocabulary), str(found.tokens_per_step), *cells, *lengths])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)

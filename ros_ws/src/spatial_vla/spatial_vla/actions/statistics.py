"""Normalisation of actions by their 1 % and 99 % quantiles, as stored with a checkpoint under each data set's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_EPSILON = 1e-8  # in the published formula


@dataclass(frozen=True, eq=False)
class ActionStatistics:
    """Quantiles of the seven numbers of an action: x, y, z [m], roll, pitch, yaw [rad], gripper.

    Attributes:
        q01, q99: (7,) quantiles. minimum, maximum: (7,); where they agree, the number is normalised to 0.
        mask: (7,) bool, True where the number is normalised (not the gripper).
    """

    q01: Array
    q99: Array
    minimum: Array
    maximum: Array
    mask: NDArray[np.bool_]

    @classmethod
    def fit(cls, actions: ArrayLike, *, symmetric: bool = False) -> ActionStatistics:
        """Of physical actions (..., 7).

        Args:
            symmetric: equal limits on both sides, so that no motion stays exactly 0. The published way is not
                symmetric, and no motion becomes some other number.
        """
        rows = np.asarray(actions, dtype=np.float64)
        if rows.ndim < 2 or rows.shape[-1] != 7 or not rows.size or not np.isfinite(rows).all():
            raise ValueError(f"actions must be finite with shape (..., 7), got shape {rows.shape}")
        rows = rows.reshape(-1, 7)
        low, high = np.quantile(rows, (0.01, 0.99), axis=0)
        mask = np.arange(7) < 6
        if symmetric:
            widest = np.maximum(np.abs(low), np.abs(high))
            low, high = np.where(mask, -widest, low), np.where(mask, widest, high)
        return cls(low, high, rows.min(0), rows.max(0), mask)

    @classmethod
    def from_processor_config(cls, config: Mapping[str, Any], key: str) -> ActionStatistics:
        """Those of a data set in a ``processor_config.json``, for example ``bridge_orig/1.0.0``.

        Raises:
            KeyError: the checkpoint has no such data set; the message lists those it has.
        """
        known = config.get("statistics") or {}
        if key not in known:
            raise KeyError(
                f"no statistics for {key!r}; this checkpoint has {', '.join(sorted(known)) or 'none'}"
            )
        fields = known[key]["action"]
        low, high = np.asarray(fields["q01"], np.float64), np.asarray(fields["q99"], np.float64)
        least, most = (np.asarray(fields.get(m, q), np.float64) for m, q in (("min", low), ("max", high)))
        mask = np.asarray(fields.get("mask", [True] * 6 + [False]), dtype=bool)
        return cls(low, high, least, most, mask)

    def fields(self) -> dict[str, Any]:
        """As ``processor_config.json`` stores them under ``statistics[name]["action"]``."""
        named = {
            "q01": self.q01,
            "q99": self.q99,
            "min": self.minimum,
            "max": self.maximum,
            "mask": self.mask,
        }
        return {name: values.tolist() for name, values in named.items()}

    def normalise(self, actions: ArrayLike) -> Array:
        """Physical actions (..., 7) to [-1, 1], clipped; the gripper stays as it is."""
        a = _seven(actions)
        unit = np.clip(2.0 * (a - self.q01) / (self.q99 - self.q01 + _EPSILON) - 1.0, -1.0, 1.0)
        return np.where(self.mask, np.where(self.minimum == self.maximum, 0.0, unit), a)

    def denormalise(self, actions: ArrayLike) -> Array:
        """Normalised actions (..., 7) to physical ones."""
        a = _seven(actions)
        return np.where(self.mask, 0.5 * (a + 1.0) * (self.q99 - self.q01) + self.q01, a)


def _seven(actions: ArrayLike) -> Array:
    a = np.asarray(actions, dtype=np.float64)
    if a.shape[-1:] != (7,):
        raise ValueError(
            f"actions must have shape (..., 7): x, y, z, roll, pitch, yaw, gripper; got {a.shape}"
        )
    return a

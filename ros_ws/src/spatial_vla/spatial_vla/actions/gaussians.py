"""Gaussians of an action set, and the grid of cells that are equally probable under them.

Published are the rule and its result, not how the Gaussians were fitted. Here: the mean and the standard deviation of
each variable over the normalised actions, which is what the published numbers look like. Or, by likelihood: those of
the truncated Gaussian itself, under which the cells are meant to be equally probable. The two differ where a variable
presses against the ends of its range, as the length of steps does when a robot moves at full speed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_ndtr

from .grid import ActionGrid, Array, equal_probability_edges, polar

VARIABLES = ("theta", "phi", "r", "roll", "pitch", "yaw")
RELEASED_CELLS = (16, 32, 8, 16, 16, 16)
RELEASED_MIN_SIGMA = 0.5  # of the released grid; the field `min_sigma` of its file says 0 and means nothing
# Of normalised actions: an axis in [-1, 1], so a translation is no longer than the root of three.
RANGES = ((0.0, np.pi), (-np.pi, np.pi), (0.0, 3.0**0.5), (-1.0, 1.0), (-1.0, 1.0), (-1.0, 1.0))


@dataclass(frozen=True)
class ActionGaussians:
    """Mean and standard deviation of theta, phi [rad], r, roll, pitch, yaw [units] of normalised actions."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 6 or len(self.std) != 6 or not np.isfinite(numbers).all() or min(self.std) < 0:
            raise ValueError(
                f"Gaussians need six finite means and six standard deviations >= 0, for {', '.join(VARIABLES)}; "
                f"got {self.mean} and {self.std}"
            )

    @classmethod
    def fit(cls, actions: ArrayLike, *, dead_zone: float = 0.0, likelihood: bool = False) -> ActionGaussians:
        """Fit to normalised actions (..., 6 or more): x, y, z, roll, pitch, yaw in [-1, 1]; what follows is ignored.

        Args:
            dead_zone: translations shorter than this, and rotations with all components below it, do not count.
            likelihood: find the Gaussians that, truncated to the ranges, make the actions likeliest; their means and
                standard deviations are then not those of the actions. False takes the actions' own, as published.

        Raises:
            ValueError: there are NaN or infinite numbers, or none moves.
        """
        rows = np.asarray(actions, dtype=np.float64)
        if rows.ndim < 2 or rows.shape[-1] < 6 or not np.isfinite(rows).all():
            raise ValueError(f"actions must be finite with shape (..., 6 or more), got shape {rows.shape}")
        rows = np.clip(rows.reshape(-1, rows.shape[-1])[:, :6], -1.0, 1.0)
        translation = polar(rows[:, :3])
        translation = translation[translation[:, 2] >= dead_zone]
        rotation = rows[np.any(np.abs(rows[:, 3:]) >= dead_zone, axis=-1), 3:]
        if not (len(translation) and len(rotation)):
            raise ValueError(
                f"none of the {len(rows)} actions exceeds the dead zone {dead_zone}; give actions that move and turn"
            )
        columns = (*translation.T, *rotation.T)
        if likelihood:
            lows = [
                dead_zone if name == "r" else low for name, (low, _) in zip(VARIABLES, RANGES, strict=True)
            ]
            highs = [high for _, high in RANGES]
            found = [likeliest(*given) for given in zip(columns, lows, highs, strict=True)]
            return cls(tuple(mean for mean, _ in found), tuple(std for _, std in found))
        return cls(tuple(float(c.mean()) for c in columns), tuple(float(c.std()) for c in columns))

    def grid(
        self,
        cells: Sequence[int] = RELEASED_CELLS,
        *,
        min_sigma: float = RELEASED_MIN_SIGMA,
        dead_zone: float = 0.0,
    ) -> ActionGrid:
        """The grid whose cells are equally probable under these Gaussians, truncated to the ranges.

        Args:
            cells: of theta, phi, r, roll, pitch, yaw. min_sigma: floor of the standard deviations.
            dead_zone: above 0, "no translation" and "no rotation" get a token each, behind those of the cells, for
                what is shorter than this; 0 gives the published layout, which cannot stand still.
        """
        edges: list[Array] = []
        for mean, std, (low, high), count in zip(self.mean, self.std, RANGES, cells, strict=True):
            # A variable that never changes would have cells without width.
            sigma = max(std, min_sigma, 1e-3 * (high - low))
            start = dead_zone if len(edges) == VARIABLES.index("r") else low
            edges.append(equal_probability_edges(mean, sigma, start, high, count))
        named = dict(zip(VARIABLES, edges, strict=True))
        return ActionGrid(**named, zero_motion=dead_zone > 0.0, rotation_dead_zone=dead_zone)

    def to_json(self) -> str:
        """As JSON, ``mu`` and ``sigma`` by variable; :meth:`from_json` reads it back exactly."""
        both = zip(VARIABLES, self.mean, self.std, strict=True)
        return json.dumps({name: {"mu": mean, "sigma": std} for name, mean, std in both}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> ActionGaussians:
        """From ``mu`` and ``sigma`` by variable; further entries are ignored.

        Raises:
            ValueError: a variable is missing.
        """
        fields = json.loads(text)
        if absent := [name for name in VARIABLES if name not in fields]:
            raise ValueError(
                f"Gaussians lack {', '.join(absent)}; expected an object with mu and sigma for each"
            )
        return cls(tuple(fields[n]["mu"] for n in VARIABLES), tuple(fields[n]["sigma"] for n in VARIABLES))


RELEASED_GAUSSIANS = ActionGaussians(
    (
        *(1.8764124969142981, 0.11370731154738666, 0.5388089344232081),
        *(-0.02783168434747678, 0.02445201720946336, 0.005450679027536385),
    ),
    (0.7796698531704827, 1.6770051583708576, 0.5, 0.5, 0.5, 0.5),
)
"""Those behind the released grid, floor included. A checkpoint's own edges are in its file: see `bin_policy`."""


def likeliest(values: Array, low: float, high: float) -> tuple[float, float]:
    """Mean and standard deviation of the Gaussian that, truncated to [low, high], makes values (N,) likeliest.

    Values that crowd at an end would have the mean at infinity, where the truncated Gaussian is an exponential; it
    stays within a width of the range and four deviations, and those between a thousandth of a width and ten.
    """
    width = high - low
    first, second = float(values.mean()), float((values * values).mean())

    def gaussian(parameters: Array) -> tuple[float, float]:
        std = float(np.exp(parameters[1]))
        return float(np.clip(parameters[0], low - 4.0 * std, high + 4.0 * std)), std

    def cost(parameters: Array) -> float:
        mean, std = gaussian(parameters)
        a, b = (low - mean) / std, (high - mean) / std
        if a > 0.0:  # mirrored, so that the difference of tails is one of small numbers
            a, b = -b, -a
        mass = log_ndtr(b) + np.log1p(-np.exp(log_ndtr(a) - log_ndtr(b)))
        spread = second - 2.0 * mean * first + mean * mean
        return spread / (2.0 * std * std) + float(np.log(std) + mass)

    start = np.array([first, np.log(max(float(values.std()), 1e-3 * width))])
    bounds = [(low - width, high + width), (np.log(1e-3 * width), np.log(10.0 * width))]
    found = minimize(cost, start, method="Nelder-Mead", bounds=bounds, options={"xatol": 1e-6, "fatol": 1e-9})
    return gaussian(found.x)


def uniform_grid(cells: Sequence[int] = RELEASED_CELLS) -> ActionGrid:
    """A grid of equally wide cells over the same ranges, to compare with."""
    edges = (np.linspace(low, high, count + 1) for (low, high), count in zip(RANGES, cells, strict=True))
    return ActionGrid(**dict(zip(VARIABLES, edges, strict=True)), zero_motion=False)

"""Several predictions of the same step made one: what SimplerEnv and LIBERO runs of SpatialVLA put behind the policy.

A policy that is asked at every step predicts a step several times: in the chunk of that moment, and in those before.
SimplerEnv averages them with weights that depend on age; CogACT (arXiv 2411.19650), whose way the authors took for
LIBERO, with weights that depend on how far a prediction agrees with the newest, so that two different plans are not
blended into a third.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .chunk import ActionChunk

Array = NDArray[np.float64]


@dataclass
class ActionEnsemble:
    """Weighted means over the newest predictions of each step.

    With ``temperature`` t, the i-th of n predictions, the oldest being i = 0, weighs exp(-t i). With ``agreement`` a,
    a prediction weighs exp(a c), c being the cosine between it and the newest one.

    Attributes:
        predictions: how many are averaged at most; 1 changes nothing.
        temperature: SimplerEnv's is -0.8, newer ones weigh more; 0 is the plain mean.
        agreement: CogACT's is 0.1; None weighs by age.
    """

    predictions: int = 4
    temperature: float = -0.8
    agreement: float | None = None
    _made: list[tuple[int, Array]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = (self.temperature, 0.0 if self.agreement is None else self.agreement)
        if self.predictions < 1 or not np.isfinite(numbers).all():
            raise ValueError(
                f"an ensemble of {self.predictions} predictions, temperature {self.temperature}, agreement "
                f"{self.agreement}; expected one prediction at least, and finite numbers"
            )

    def reset(self) -> None:
        """Forget all predictions: another episode begins."""
        self._made.clear()

    def __call__(self, actions: ArrayLike, elapsed: int = 1) -> Array:
        """The newest prediction, averaged with what earlier ones said of the same steps.

        Args:
            actions: (T, D) of this moment; row 0 is the step to do now.
            elapsed: steps done since the last call; without effect on the first.

        Returns:
            (T, D); fewer predictions reach the later rows.

        Raises:
            ValueError: the shape is another than before, or a number is NaN or infinite.
        """
        newest = np.asarray(actions, dtype=np.float64)
        if newest.ndim != 2 or not newest.size or not np.isfinite(newest).all():
            raise ValueError(f"actions must be finite with shape (T, D), got shape {newest.shape}")
        if self._made and self._made[-1][1].shape != newest.shape:
            raise ValueError(
                f"actions have shape {newest.shape}, earlier ones {self._made[-1][1].shape}; reset() between policies"
            )
        if elapsed < 1:
            raise ValueError(f"{elapsed} steps elapsed; expected 1 at least, or reset() for a new episode")
        kept = [(age + elapsed, a) for age, a in self._made if age + elapsed < len(newest)]
        self._made = [*kept, (0, newest)][-self.predictions :]
        return np.stack([self._mean(row) for row in range(len(newest))])

    def chunk(self, chunk: ActionChunk, elapsed: int = 1) -> ActionChunk:
        """The same of a chunk; the mean gripper is open from 0.5 on. Tokens, which it no longer is, are dropped."""
        steps = self(np.column_stack((chunk.deltas, chunk.gripper)), elapsed)
        gripper = (steps[:, 6] >= 0.5).astype(np.float64)
        return replace(chunk, deltas=steps[:, :6], gripper=gripper, token_ids=None, log_probabilities=None)

    def _mean(self, row: int) -> Array:
        said = np.stack([made[age + row] for age, made in self._made if age + row < len(made)])
        weights = np.exp(self._exponents(said))
        return weights @ said / weights.sum()

    def _exponents(self, said: Array) -> Array:
        """Logarithms of the weights (n,) of predictions (n, D), oldest first; the largest is 0."""
        if self.agreement is None:
            exponents = -self.temperature * np.arange(len(said))
        else:
            lengths = np.linalg.norm(said, axis=1) * np.linalg.norm(said[-1])
            # No direction agrees with none; the constant is CogACT's.
            exponents = self.agreement * (said @ said[-1]) / (lengths + 1e-7)
        return exponents - exponents.max()

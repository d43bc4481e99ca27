"""A part of a model that becomes one engine."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Stage:
    """A module with static shapes, and what its tensors are called.

    Attributes:
        module: takes the examples in their order and gives one tensor, or a tuple of them; evaluation mode.
        examples: seeded inputs of realistic size, by name.
        outputs: names of what the module gives.
        single_precision: its numbers are positions, which half precision would round to millimetres and more; the file
            says so, and sessions that would compute in less do not.
    """

    module: nn.Module
    examples: dict[str, Tensor]
    outputs: tuple[str, ...]
    single_precision: bool = False

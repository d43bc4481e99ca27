"""The mixture of Open X-Embodiment that SpatialVLA was pre-trained on, and how its data sets are laid out.

A step is drawn from a data set in proportion to weight times number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .episodes import Array

MIXTURE = {
    "fractal20220817_data": 0.54087122203,
    "kuka": 0.4,
    "bridge_orig": 1.0,
    "taco_play": 2.0,
    "jaco_play": 1.0,
    "berkeley_cable_routing": 1.0,
    "roboturk": 2.0,
    "viola": 2.0,
    "berkeley_autolab_ur5": 2.0,
    "toto": 0.5,
    "language_table": 0.1,
    "stanford_hydra_dataset_converted_externally_to_rlds": 2.0,
    "austin_buds_dataset_converted_externally_to_rlds": 1.0,
    "nyu_franka_play_dataset_converted_externally_to_rlds": 3.0,
    "furniture_bench_dataset_converted_externally_to_rlds": 0.1,
    "ucsd_kitchen_dataset_converted_externally_to_rlds": 2.0,
    "austin_sailor_dataset_converted_externally_to_rlds": 1.0,
    "austin_sirius_dataset_converted_externally_to_rlds": 1.0,
    "dlr_edan_shared_control_converted_externally_to_rlds": 1.0,
    "iamlab_cmu_pickup_insert_converted_externally_to_rlds": 1.0,
    "utaustin_mutex": 1.0,
    "berkeley_fanuc_manipulation": 0.5,
    "cmu_stretch": 1.0,
    "bc_z": 0.2,
    "fmb": 0.2,
    "dobbe": 0.2,
    "droid": 0.06,
    "rh20t": 0.015,
}
"""Weights of the first stage; the second leaves DROID out."""

Gripper = Literal["opening", "closing", "relative"]


@dataclass(frozen=True)
class Layout:
    """Where a data set's steps are, names as in its files behind ``steps/``.

    Attributes:
        image, instruction: names.
        action: names whose numbers, one behind the other, are x, y, z, roll, pitch, yaw and perhaps the gripper.
        gripper: name, if not the seventh number of the action.
        gripper_is: 1 open; 1 closed; or a motion, above 0 closing, whose last one lasts.
        state: name of absolute end-effector poses, whose differences are the motion (Bridge).
    """

    image: str
    instruction: str = "language_instruction"
    action: tuple[str, ...] = ("action",)
    gripper: str | None = None
    gripper_is: Gripper = "opening"
    state: str | None = None


_GOOGLE = Layout(
    "observation/image",
    "observation/natural_language_instruction",
    ("action/world_vector", "action/rotation_delta"),
    "action/gripper_closedness_action",
    "relative",
)
LAYOUTS = {
    "fractal20220817_data": _GOOGLE,
    "kuka": _GOOGLE,
    "bridge_orig": Layout("observation/image_0", state="observation/state"),
    **{
        f"libero_{suite}_no_noops": Layout("observation/image", gripper_is="closing")
        for suite in ("spatial", "object", "goal", "10")
    },
}
"""Those that are known here; the others of the mixture need theirs said."""


def opening(values: Array, kind: Gripper) -> Array:
    """What the gripper is to be at each step, 1 open, 0 closed."""
    if kind == "opening":
        return np.clip(values, 0.0, 1.0)
    if kind == "closing":
        return 1.0 - np.clip(values, 0.0, 1.0)
    commands = np.where(values < -0.1, 1.0, np.where(values > 0.1, 0.0, np.nan))
    moves = np.flatnonzero(~np.isnan(commands))
    if not len(moves):
        return np.ones_like(values)  # it starts open and is never moved
    out = np.empty_like(values)
    last = 1.0 - commands[moves[0]]  # before its first motion it was the other way
    for i, command in enumerate(commands):
        last = last if np.isnan(command) else command
        out[i] = last
    return out


def decided(values: Array) -> Array:
    """Bridge's continuous gripper: open above 0.95, closed below 0.05, in between what is decided next."""
    out, following = np.empty_like(values), float(values[-1] > 0.5)
    for i in range(len(values) - 1, -1, -1):
        if values[i] > 0.95 or values[i] < 0.05:
            following = float(values[i] > 0.95)
        out[i] = following
    return out

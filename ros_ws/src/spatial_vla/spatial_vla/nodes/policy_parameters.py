"""Parameters that the nodes of the policy share."""

from __future__ import annotations

from pathlib import Path

from ..description import BASE_FRAME
from ..policy import default_bundle
from ..policy.compatibility import FIELDS
from ..runtime import KINDS
from .parameters import RELIABLE_CAMERA, NodeParameter

BUNDLE = NodeParameter(
    "bundle", "", "Folder of the policy bundle; empty: the weights that ship with the package."
)
BASE = NodeParameter("base_frame", BASE_FRAME, "Robot base frame; actions are expressed in its axes.")
MAX_FRAME_AGE = NodeParameter(
    "max_frame_age",
    0.15,
    "Drop a frame older than this, and wait no longer for what it lacks [s].",
    0.01,
    2.0,
)
SESSION = NodeParameter(
    "session", "auto", f"What computes: {', '.join(KINDS)}. One asked for by name is never replaced."
)
ALLOW = NodeParameter(
    "allow", "", f"In what the policy may differ from this robot, with commas between: {', '.join(FIELDS)}."
)
POLICY = (BUNDLE, SESSION, ALLOW, BASE, MAX_FRAME_AGE, RELIABLE_CAMERA)
"""What encoder and decoder have in common."""


def bundle_folder(value: str) -> Path:
    """The folder that the ``bundle`` parameter stands for."""
    return Path(value).expanduser() if value else default_bundle()


def allowed(value: str) -> tuple[str, ...]:
    """The fields that the ``allow`` parameter names."""
    return tuple(name.strip() for name in value.split(",") if name.strip())

"""Definitions of our own message types, read from where ROS installs them, for bags that explain themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

INTERFACES = "spatial_vla_interfaces"


def typestore() -> Typestore:
    """All standard types of ROS 2 Jazzy plus the messages of ``spatial_vla_interfaces``.

    Raises:
        FileNotFoundError: if the interface package is not installed, naming the prefixes searched.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for path in sorted(message_folder().glob("*.msg")):
        types.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"{INTERFACES}/msg/{path.stem}"))
    store.register(types)
    return store


def message_folder() -> Path:
    """Folder of the installed .msg files; raises FileNotFoundError as :func:`typestore`."""
    # A sourced distribution lists its prefixes; the pip wheels install into the environment's own.
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    for prefix in prefixes:
        folder = Path(prefix) / "share" / INTERFACES / "msg"
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"no share/{INTERFACES}/msg under {', '.join(prefixes)}; build the interfaces (./setup) or source the workspace"
    )

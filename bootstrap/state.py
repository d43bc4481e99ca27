"""What has been set up in a checkout, so that a second call knows that there is nothing to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

STATE_FILE = ".setup/state.json"
SOURCES = ("ros_ws/src/spatial_vla", "ros_ws/src/spatial_vla_sim", "models")
# Python sources are not among them: the packages are installed as links to the checkout.
PACKAGE_METADATA = ("setup.py", "setup.cfg", "package.xml", "pyproject.toml")
FOLDERS = (
    "bootstrap",
    "requirements",
    "ros_ws/cmake",
    "ros_ws/src/moveit_msgs",
    "ros_ws/src/object_recognition_msgs",
    "ros_ws/src/octomap_msgs",
    "ros_ws/src/spatial_vla_interfaces",
    "ros_ws/src/tf2_msgs",
    "ros_ws/src/vision_msgs",
)
FILES = ("setup", "ros_ws/build_interfaces.py")


@dataclass(frozen=True)
class State:
    """Attributes: ``mode`` wheel or ros; ``dev`` with the development tools; ``digest`` of what it was made from."""

    mode: str
    dev: bool
    digest: str

    @classmethod
    def read(cls, root: Path) -> State | None:
        """Return what was recorded, or None in a checkout that was never set up."""
        try:
            return cls(**json.loads((root / STATE_FILE).read_text()))
        except FileNotFoundError:
            return None

    def write(self, root: Path) -> None:
        """Record this state."""
        (root / STATE_FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def digest(root: Path) -> str:
    """Return a hash of everything that an installation depends on and that a running program does not read itself."""
    result = hashlib.sha256(str(root).encode())
    for path in _inputs(root):
        result.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return result.hexdigest()


def _inputs(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted(p for p in (root / folder).rglob("*") if p.is_file() and p.suffix != ".pyc")
    yield from (root / file for file in FILES)
    for source in SOURCES:
        yield from (root / source / name for name in PACKAGE_METADATA if (root / source / name).exists())

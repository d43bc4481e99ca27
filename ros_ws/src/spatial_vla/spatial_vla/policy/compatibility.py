"""Does a policy fit the camera and the robot it is to drive?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import atan, degrees

from ..geometry import PinholeCamera
from .manifest import Manifest, ManifestError

FIELDS = (
    "camera.fov_deg",
    "camera.aspect",
    "camera.size",
    "base_frame",
    "tcp_frame",
    "rotation_form",
    "parity",
)
"""What is compared, and may be allowed to differ."""


@dataclass(frozen=True)
class Setting:
    """Where a policy is to work; None: not known, and not compared.

    Attributes:
        camera: intrinsics of the colour image. base_frame, tcp_frame: of the robot.
        rotation_form: what the motion stage takes. session: kind of session that is to run.
    """

    camera: PinholeCamera | None = None
    base_frame: str | None = None
    tcp_frame: str | None = None
    rotation_form: str | None = None
    session: str | None = None


class PolicyMismatch(ManifestError):
    """The policy was made for something else; ``fields`` names what differs."""

    def __init__(self, differences: dict[str, str]) -> None:
        self.fields = tuple(differences)
        super().__init__("; ".join(f"{name}: {text}" for name, text in differences.items()))


def check_setting(manifest: Manifest, setting: Setting, allow: Iterable[str] = ()) -> None:
    """Compare.

    Args:
        allow: names of :data:`FIELDS` that may differ.

    Raises:
        PolicyMismatch: naming both sides of every difference that is not allowed.
        ValueError: ``allow`` names no field.
    """
    allow = set(allow)
    if unknown := allow - set(FIELDS):
        raise ValueError(f"cannot allow {sorted(unknown)}; fields are {', '.join(FIELDS)}")
    found = {k: v for k, v in differences(manifest, setting).items() if k not in allow}
    if found:
        raise PolicyMismatch(
            {k: f"{v}; if that is meant, allow {k!r}" for k, v in found.items()},
        )


def differences(manifest: Manifest, setting: Setting) -> dict[str, str]:
    """What differs: field to a text that names both sides."""
    found: dict[str, str] = {}
    if setting.camera is not None and manifest.camera is not None:
        found |= _camera(manifest.camera, setting.camera)
    for name in ("base_frame", "tcp_frame", "rotation_form"):
        here, there = getattr(setting, name), getattr(manifest, name)
        if here is not None and here != there:
            found[name] = f"the policy {manifest.name!r} was trained with {there!r}, the robot has {here!r}"
    failed = [r for r in manifest.parity if r["session"] == setting.session and not r["ready"]]
    for row in failed:
        found["parity"] = (
            f"{row['stage']} on {row['session']} differs from PyTorch by {row['max_error']:.2g} (cosine "
            f"{row['cosine']:.5f}), which export/verify.py found too much; choose another session"
        )
    return found


def _camera(trained: dict, camera: PinholeCamera) -> dict[str, str]:
    fov = 2.0 * degrees(atan(camera.width / (2.0 * camera.fx)))
    aspect = camera.width / camera.fx / (camera.height / camera.fy)
    found = {}
    for name, value, unit in (("fov_deg", fov, "°"), ("aspect", aspect, "")):
        low, high = trained[name]
        if not low <= value <= high:
            found[f"camera.{name}"] = (
                f"trained with {low:g} to {high:g}{unit}, this camera has {value:.3g}{unit}"
            )
    least = tuple(trained["size"])
    if camera.width < least[0] or camera.height < least[1]:
        found["camera.size"] = (
            f"trained with {least[0]} x {least[1]} px at least, this camera has {camera.width} x {camera.height}"
        )
    return found

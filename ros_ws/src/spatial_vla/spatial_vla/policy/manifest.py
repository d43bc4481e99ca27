"""The manifest of a policy bundle: what the weights are, what they expect, and proof that the files are those.

A bundle is a folder with ``manifest.json``, ``encoder.onnx``, ``decoder.onnx`` and ``policy.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ..actions import ActionGrid
from ..language import Vocabulary

FORMAT = 1
MANIFEST = "manifest.json"


class ManifestError(ValueError):
    """The bundle is incomplete, altered, or made for something else."""


@dataclass(frozen=True)
class Manifest:
    """Everything that must agree between training, export and the robot.

    Attributes:
        format: version of this layout. name, licence, architecture: for people.
        image_size, patch, cells: encoder input side, patch side [px], sub-cells per patch.
        channels: features per patch. steps, dt: chunk length and duration of a step [s].
        base_frame, tcp_frame: frames that deltas and tool state refer to. rotation_form: "rotation_vector".
        grid: JSON of the action grid. words, max_words: the vocabulary.
        precision: of the engines. files: name to SHA-256.
        trained: free-form provenance (data, commands, versions).
    """

    format: int
    name: str
    licence: str
    architecture: dict[str, Any]
    image_size: int
    patch: int
    cells: int
    channels: int
    steps: int
    dt: float
    base_frame: str
    tcp_frame: str
    rotation_form: str
    grid: dict[str, Any]
    words: list[str]
    max_words: int
    precision: str
    files: dict[str, str]
    trained: dict[str, Any]

    @property
    def side(self) -> int:
        """Patches along one side of the image."""
        return self.image_size // self.patch

    @property
    def hash(self) -> str:
        """Short identity of the bundle, carried by every feature map."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def action_grid(self) -> ActionGrid:
        """The grid that the decoder's tokens refer to."""
        return ActionGrid(**self.grid)

    def vocabulary(self) -> Vocabulary:
        """The words that the decoder understands."""
        return Vocabulary(tuple(self.words), self.max_words)

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def default_bundle() -> Path:
    """Folder of the weights that ship with the package."""
    return Path(str(resources.files("spatial_vla.policy") / "weights"))


def read_manifest(bundle: Path) -> Manifest:
    """Read and check a bundle.

    Raises:
        ManifestError: if the manifest is missing or of another format, or a file is missing or not the one it names.
    """
    path = bundle / MANIFEST
    if not path.is_file():
        raise ManifestError(
            f"{bundle} is not a policy bundle: no {MANIFEST}; make one with export/to_onnx.py"
        )
    fields = json.loads(path.read_text())
    if fields.get("format") != FORMAT:
        raise ManifestError(
            f"{path} has format {fields.get('format')!r}, this version reads {FORMAT}; export it again"
        )
    manifest = Manifest(**fields)
    for name, expected in manifest.files.items():
        if not (bundle / name).is_file():
            raise ManifestError(f"{bundle} lacks {name}, which its manifest names")
        found = sha256(bundle / name)
        if found != expected:
            raise ManifestError(
                f"{bundle / name} has SHA-256 {found[:12]}..., its manifest says {expected[:12]}...; the file was "
                "changed or only partly copied (a Git LFS pointer?); export it again"
            )
    return manifest


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""The manifest of exported models: what the weights are, what they expect, and proof that the files are those.

Every folder that ``export/to_onnx.py`` writes has a ``manifest.json``; ``manifest.schema.json`` describes it. The
bundle of a policy also holds ``encoder.onnx``, ``decoder.onnx`` and ``policy.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from ..actions import ActionGrid
from ..language import Vocabulary

FORMAT = 2
MANIFEST = "manifest.json"

PREPROCESSING: dict[str, Any] = {
    "colour": "RGB",
    "layout": "NCHW",
    "range": [0.0, 1.0],
    "resize": "stretch",
    "interpolation": "area to shrink, linear to enlarge",
    "normalisation": "in the engine",
}
"""Of the small policy; :func:`.preprocess.encoder_image` does it."""
ACTIONS = {
    "frame": "axes of base_frame, at the tool centre point",
    "translation": "m per step",
    "rotation": "rotation vector, rad per step, left-multiplied",
    "gripper": "1 open, 0 closed",
}


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
        grid: JSON of the action grid. words, max_words, reserved: the vocabulary.
        precision: of the engines. files: name to SHA-256.
        trained: free-form provenance (data, commands, versions).
        kind: "policy". preprocessing: of images, before the engines and inside them.
        camera: what the training cameras were like: ``fov_deg`` (horizontal) and ``aspect`` (width by height), lowest
            and highest each, ``size`` in pixels at least; None if that was not written down.
        actions: what deltas and gripper values mean. source: hashes of what was exported.
        parity: comparisons with PyTorch, one row per stage and session, see ``export/verify.py``.
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
    kind: str = "policy"
    preprocessing: dict[str, Any] = field(default_factory=lambda: dict(PREPROCESSING))
    camera: dict[str, Any] | None = None
    actions: dict[str, str] = field(default_factory=lambda: dict(ACTIONS))
    reserved: list[str] = field(default_factory=list)
    source: dict[str, str] = field(default_factory=dict)
    parity: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ready(self) -> tuple[str, ...]:
        """Kinds of session that were compared with PyTorch on every stage and never found too far from it."""
        stages = {name.removesuffix(".onnx") for name in self.files if name.endswith(".onnx")}
        rows = {kind: [r for r in self.parity if r["session"] == kind] for kind in _kinds(self)}
        return tuple(
            kind
            for kind, found in rows.items()
            if stages <= {r["stage"] for r in found} and all(r["ready"] for r in found)
        )

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
        return Vocabulary(tuple(self.words), self.max_words, tuple(self.reserved))

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def default_bundle() -> Path:
    """Folder of the weights that ship with the package."""
    return Path(str(resources.files("spatial_vla.policy") / "weights"))


def read_manifest(bundle: Path) -> Manifest:
    """Read and check the bundle of a policy.

    Raises:
        ManifestError: if the manifest is missing, not as its schema says, or of something other than a policy; or if a
            file is missing or not the one it names.
    """
    fields = read_fields(bundle)
    if fields["kind"] != "policy":
        raise ManifestError(
            f"{bundle} holds a {fields['kind']}; expected a policy, as export/to_onnx.py writes it"
        )
    return Manifest(**fields)


def read_fields(folder: Path) -> dict[str, Any]:
    """The manifest of any exported model, its files checked. Raises as :func:`read_manifest`."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ManifestError(
            f"{folder} is not a policy bundle: no {MANIFEST}; make one with export/to_onnx.py"
        )
    fields = json.loads(path.read_text())
    if fields.get("format") == 1:
        fields = _from_format_1(fields)
    if fields.get("format") != FORMAT:
        raise ManifestError(
            f"{path} has format {fields.get('format')!r}, this version reads 1 and {FORMAT}; export it again"
        )
    check_fields(fields, str(path))
    for name, expected in fields["files"].items():
        if not (folder / name).is_file():
            raise ManifestError(f"{folder} lacks {name}, which its manifest names")
        found = sha256(folder / name)
        if found != expected:
            raise ManifestError(
                f"{folder / name} has SHA-256 {found[:12]}..., its manifest says {expected[:12]}...; the file was "
                "changed or only partly copied (a Git LFS pointer?); export it again"
            )
    return fields


def check_fields(fields: dict[str, Any], where: str) -> None:
    """Raise ManifestError, naming every field that is not as the schema says."""
    errors = sorted(
        _validator().iter_errors(fields), key=lambda error: [str(part) for part in error.absolute_path]
    )
    if errors:
        texts = [f"{'.'.join(map(str, e.absolute_path)) or 'manifest'}: {e.message[:200]}" for e in errors]
        raise ManifestError(f"{where} is not a manifest of format {FORMAT}: " + "; ".join(texts))


@cache
def _validator() -> jsonschema.Draft202012Validator:
    text = (resources.files("spatial_vla.policy") / "manifest.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def _from_format_1(fields: dict[str, Any]) -> dict[str, Any]:
    """What format 1 left out was the same for all its bundles; its cameras were not written down."""
    new = {"kind": "policy", "preprocessing": PREPROCESSING, "camera": None, "actions": ACTIONS}
    return {**fields, **new, "source": {}, "parity": [], "format": FORMAT}


def _kinds(manifest: Manifest) -> list[str]:
    return sorted({row["session"] for row in manifest.parity})


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

"""A TensorRT engine and the JSON file beside it, which says what it is and where it runs.

Engines are bound to the TensorRT release that built them and to a kind of GPU, and hold machine code. So everything is
compared before a byte of the engine reaches TensorRT. ``export/to_trt.py`` writes both files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .session import TensorSpec

FORMAT = 1


class EngineMismatch(ValueError):
    """The engine was not built for this."""


@dataclass(frozen=True)
class EngineFile:
    """What is written beside an engine.

    Attributes:
        path: of the engine.
        backend: ``tensorrt`` or ``tensorrt_rtx``. version: of it, in full.
        targets: what it runs on: ``sm_89``, or names of GPUs with ``, sm_89`` behind.
        precision: of the network's weights. inputs, outputs: in the engine's order.
        onnx: SHA-256 of the file it was built from.
    """

    path: Path
    backend: str
    version: str
    targets: tuple[str, ...]
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    onnx: str

    @classmethod
    def read(cls, engine: Path) -> EngineFile:
        """Read the file beside an engine and see that it belongs to it.

        Raises:
            FileNotFoundError: no engine or no file beside it.
            EngineMismatch: of another format, or the engine is not the one described.
        """
        beside = engine.with_name(engine.name + ".json")
        for path in (engine, beside):
            if not path.is_file():
                raise FileNotFoundError(
                    f"no {path}; build engines with export/to_trt.py, on the robot itself"
                )
        fields = json.loads(beside.read_text())
        if fields.get("format") != FORMAT:
            raise EngineMismatch(
                f"{beside} has format {fields.get('format')!r}, this version reads {FORMAT}; build it again"
            )
        with engine.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest() if _DIGEST else _sha256(file)
        if found != fields["sha256"]:
            raise EngineMismatch(
                f"{engine} has SHA-256 {found[:12]}..., {beside.name} says {fields['sha256'][:12]}...; build it again"
            )
        return cls(
            path=engine,
            backend=fields["backend"],
            version=fields["version"],
            targets=tuple(fields["targets"]),
            precision=fields["precision"],
            inputs=_specs(fields["inputs"]),
            outputs=_specs(fields["outputs"]),
            onnx=fields["onnx"],
        )

    def mismatch(self, version: str, device: str) -> str:
        """Why this cannot run with that version on that GPU ("NAME, sm_89"); empty if it can."""
        if version != self.version:
            return (
                f"{self.path.name} was built by {self.backend} {self.version}, here is {version}; engines run with the "
                "release that built them: build it again with export/to_trt.py"
            )
        if not any(target in (device, device.rsplit(", ", 1)[-1]) for target in self.targets):
            return (
                f"{self.path.name} was built for {' or '.join(self.targets)}, here is {device}; build it on this GPU "
                "with export/to_trt.py"
            )
        return ""


_DIGEST = hasattr(hashlib, "file_digest")  # Python 3.11


def _sha256(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _specs(rows: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(row["name"], tuple(row["shape"]), row["dtype"]) for row in rows)

"""Export a trained policy to a bundle: ONNX encoder and decoder, weights, and the manifest that binds them.

    python export/to_onnx.py runs/policy --out ros_ws/src/spatial_vla/spatial_vla/policy/weights

Opset 20 and static shapes, so that ONNX Runtime, OpenVINO and TensorRT all take the files. The bundle is written
aside, checked against PyTorch on seeded inputs, and only then renamed into place.
"""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import tyro
from spatial_models.policy import SpatialPolicy
from spatial_models.training.bundle import WEIGHTS, read_policy
from spatial_vla.policy.manifest import FORMAT, MANIFEST, Manifest, sha256
from spatial_vla.runtime import OnnxRuntimeSession
from torch import Tensor, nn

OPSET = 20
TOLERANCE = 2e-3  # largest difference to PyTorch, in the units of each output


class EncoderStage(nn.Module):
    """Image to patch features."""

    def __init__(self, policy: SpatialPolicy) -> None:
        super().__init__()
        self.encoder = policy.encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[1]


class DecoderStage(nn.Module):
    """Features to tokens; choosing the tokens happens inside the engine."""

    def __init__(self, policy: SpatialPolicy) -> None:
        super().__init__()
        self.decoder = policy.decoder

    def forward(
        self, features: Tensor, points: Tensor, valid: Tensor, state: Tensor, words: Tensor
    ) -> tuple[Tensor, ...]:
        out = self.decoder(features, points, valid, state, words)
        logs = [x.log_softmax(-1) for x in (out.translation, out.rotation, out.gripper)]
        best = [x.max(-1) for x in logs]
        tokens = torch.stack([b.indices for b in best], dim=-1)
        chances = torch.stack([b.values for b in best], dim=-1)
        pointer = out.cell_logits.softmax(-1)
        return tokens, chances, out.target, pointer[:, -1], pointer[:, :-1]


INPUTS = {"encoder": ["image"], "decoder": ["features", "points", "valid", "state", "words"]}
OUTPUTS = {"encoder": ["features"], "decoder": ["tokens", "log_probabilities", "target", "absent", "pointer"]}


@dataclass
class ExportArgs:
    """Export a trained policy to ONNX."""

    checkpoint: tyro.conf.Positional[Path]
    """folder with policy.safetensors, policy.json and grid.json, as training writes it"""
    out: Path = Path("runs/bundle")
    """folder of the bundle; replaced only when the new one has passed its check"""
    name: str = "spatial-vla-tabletop"
    """name of the bundle, for people"""


def example_inputs(policy: SpatialPolicy, words: int, max_words: int) -> dict[str, dict[str, Tensor]]:
    """Seeded inputs of realistic size for both stages."""
    g = torch.Generator().manual_seed(0)
    size, patches = policy.encoder.image_size, policy.encoder.grid**2
    ids = torch.zeros(1, max_words, dtype=torch.int64)
    ids[0, :4] = torch.randint(1, words, (4,), generator=g)
    return {
        "encoder": {"image": torch.rand(1, 3, size, size, generator=g)},
        "decoder": {
            "features": torch.randn(1, patches, policy.encoder.width, generator=g),
            "points": torch.rand(1, patches, 16, 3, generator=g) - 0.2,
            "valid": torch.ones(1, patches, 16, dtype=torch.bool),
            "state": torch.rand(1, 10, generator=g),
            "words": ids,
        },
    }


def export(args: ExportArgs) -> Path:
    """Write the bundle and return its folder."""
    policy, grid, words = read_policy(args.checkpoint)
    aside = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    examples = example_inputs(policy, len(words), words.max_words)
    for stage, module in (("encoder", EncoderStage(policy)), ("decoder", DecoderStage(policy))):
        path = aside / f"{stage}.onnx"
        program = torch.onnx.export(
            module,
            tuple(examples[stage].values()),
            input_names=INPUTS[stage],
            output_names=OUTPUTS[stage],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)
        onnx.checker.check_model(str(path), full_check=True)
        verify(module, path, examples[stage])
    shutil.copyfile(args.checkpoint / WEIGHTS, aside / WEIGHTS)
    (aside / MANIFEST).write_text(make_manifest(args, policy, grid, words, aside).to_json())
    shutil.rmtree(args.out, ignore_errors=True)
    aside.rename(args.out)
    return args.out


def verify(module: nn.Module, path: Path, inputs: dict[str, Tensor]) -> None:
    """Compare the file on ONNX Runtime with PyTorch; raises RuntimeError beyond the tolerance."""
    with torch.no_grad():
        expected = module(*inputs.values())
    session = OnnxRuntimeSession(path)
    found = session.run({k: v.numpy() for k, v in inputs.items()})
    expected = expected if isinstance(expected, tuple) else (expected,)
    for (name, array), tensor in zip(found.items(), expected, strict=True):
        error = float(np.abs(array - tensor.numpy()).max())
        print(f"{path.name}: {name} {list(array.shape)} differs from PyTorch by at most {error:.2e}")
        if error > TOLERANCE:
            raise RuntimeError(
                f"{path.name}: output {name} is {error:.2e} off PyTorch, allowed is {TOLERANCE:.0e}"
            )


def make_manifest(args: ExportArgs, policy: SpatialPolicy, grid, words, folder: Path) -> Manifest:  # noqa: ANN001
    """The manifest of the files in ``folder``."""
    encoder, decoder = policy.encoder, policy.decoder
    return Manifest(
        format=FORMAT,
        name=args.name,
        licence="Apache-2.0",
        architecture=json.loads((args.checkpoint / "policy.json").read_text())["model"],
        image_size=encoder.image_size,
        patch=encoder.patch,
        cells=16,
        channels=encoder.width,
        steps=decoder.steps,
        dt=0.2,
        base_frame="panda_link0",
        tcp_frame="panda_tcp",
        rotation_form="rotation_vector",
        grid=json.loads(grid.to_json()),
        words=list(words.words),
        max_words=words.max_words,
        precision="fp32",
        files={p.name: sha256(p) for p in sorted(folder.iterdir())},
        trained={"torch": torch.__version__, "onnx": onnx.__version__, "python": platform.python_version()},
    )


if __name__ == "__main__":
    print(f"wrote {export(tyro.cli(ExportArgs))}")

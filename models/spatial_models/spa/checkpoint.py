"""Checkpoints in the layout of SPA's release: in and out.

A released file is the whole pre-training model, flat, every name behind ``model.``: the encoder and what the masked
branch adds are ``model.img_backbone.*``, then come ``model.view_transform.*`` and ``model.dense_head.*``, the last with
a frozen teacher of several GB (``model.dense_head.radio.*``). A .ckpt has the same under top-level ``state_dict``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from statistics import mode

import torch
from safetensors.torch import save
from torch import Tensor, nn

from .encoder import SpaEncoder
from .hub import download, hub_file
from .position_table import resample_position_table
from .tensor_file import open_tensors
from .vit import VisionTransformer

Shape = tuple[int, ...]

MODEL = "model."
BACKBONE = "img_backbone."
TEACHER = "dense_head.radio."
HEAD_WIDTH = 64  # of every SPA; the tensors alone do not tell it
RELEASED_DEPTH = {768: 12, 1024: 24}  # blocks by width; other widths have as many as the file holds

# Parts of the masked branch (and of a classifier) that lie beside the encoder's tensors, by the start of their name.
_BESIDE = ("decoder", "head", "upsample", "mask", "readout")

# Ends of the names of tensors whose last axis is the width.
_WIDTH_LAST = ("cls_token", "pos_embed", "norm.weight", "norm1.weight")


class CheckpointMismatch(ValueError):
    """The tensors of a file are not those of the model.

    Attributes:
        missing, unexpected: names, without the prefix that they have in the file.
        misshaped: name, shape found, shape expected.
    """

    def __init__(
        self,
        where: str,
        missing: Iterable[str] = (),
        unexpected: Iterable[str] = (),
        misshaped: Iterable[tuple[str, Shape, str]] = (),
    ) -> None:
        self.missing, self.unexpected, self.misshaped = list(missing), list(unexpected), list(misshaped)
        lists = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mis-shaped": [
                f"{name} {list(found)}, expected {wanted}" for name, found, wanted in self.misshaped
            ],
        }
        text = [f"{title} ({len(names)}): {_listed(names)}" for title, names in lists.items() if names]
        super().__init__(
            "\n  ".join([f"{where} does not hold SPA's encoder as released:", *text])
            + "\nExpected are the names of a released file (model.img_backbone.*) or the encoder's own, without "
            "prefix; spa/checkpoint.py describes the layout, save_released writes it."
        )


@dataclass(frozen=True)
class Architecture:
    """Sizes of an encoder, as :class:`.vit.VisionTransformer` takes them."""

    width: int
    depth: int
    heads: int
    patch: int


def load_encoder(
    source: str | Path,
    image_size: int = 224,
    preprocess: bool = True,
    architecture: Architecture | None = None,
) -> SpaEncoder:
    """The encoder of a checkpoint, float32, on the CPU, in evaluation mode.

    Args:
        source: path of a .safetensors or .ckpt file in the released layout (or with the encoder alone, its names
            without prefix), or an id on the Hugging Face Hub: ``owner/name:file``, ``HaoyiZhu/SPA:spa-b.safetensors``.
        image_size: side of the images the encoder is for [px]; another one than the file's resamples the position
            table.
        preprocess: as of :class:`SpaEncoder`.
        architecture: what the file must hold; None takes it from the shapes of the tensors.

    Raises:
        FileNotFoundError, UnreadableCheckpoint: no such file, or not readable as one.
        CheckpointMismatch: tensors are missing, unexpected (among the encoder's) or of a wrong shape.
        DownloadFailed: the Hub was asked and did not answer.
    """
    with open_tensors(_located(source)) as file:
        prefix = _prefix(file.shapes)
        shapes = _encoder_shapes(file.shapes, prefix)
        architecture = architecture or _architecture(str(file.path), shapes)
        with torch.device("meta"):  # every value comes from the file
            encoder = SpaEncoder(image_size, **vars(architecture), preprocess=preprocess)
        _check(str(file.path), shapes, encoder)
        # A copy: what is read may be a view of the file, which can change.
        state = {name: file.read(prefix + name).to(torch.float32, copy=True) for name in shapes}
    state["pos_embed"] = resample_position_table(state["pos_embed"], encoder.grid)
    encoder.load_state_dict(state, assign=True)
    return encoder.eval()


def read_released(source: str | Path) -> dict[str, Tensor]:
    """Every tensor of a released file but the teacher's, named as :class:`.pretraining.SpaPretraining` names them."""
    with open_tensors(_located(source)) as file:
        names = [name for name in file.shapes if name.startswith(MODEL)]
        if not names:
            raise CheckpointMismatch(str(file.path), missing=[MODEL + BACKBONE + "*"])
        wanted = [name for name in names if not name.startswith(MODEL + TEACHER)]
        return {name.removeprefix(MODEL): file.read(name).clone() for name in wanted}


def save_released(
    source: VisionTransformer | Mapping[str, Tensor], path: str | Path, dtype: torch.dtype | None = None
) -> None:
    """Write weights in the released layout.

    Args:
        source: an encoder or masked branch; or the state dict of a whole pre-training model, its names with or without
            the leading ``model.``.
        path: .safetensors, or .ckpt for a dictionary with ``state_dict``. Written aside and renamed into place.
        dtype: type to store floating-point tensors in; None keeps theirs.

    Raises:
        CheckpointMismatch: the encoder in ``source`` is not complete.
        ValueError: the heads are not 64 wide, which a reader would take them to be, or the path ends otherwise.
    """
    path = Path(path)
    if path.suffix not in (".safetensors", ".ckpt"):
        raise ValueError(f"{path}: expected a name that ends in .safetensors or .ckpt")
    state = {name: _stored(tensor, dtype) for name, tensor in _released_names(source).items()}
    shapes = {name: tuple(t.shape) for name, t in state.items()}
    _verify(path, shapes)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    if path.suffix == ".safetensors":
        aside.write_bytes(save(state, metadata={"format": "pt"}))  # save_file lets nobody else read the file
    else:
        torch.save({"state_dict": state}, aside)
    aside.replace(path)


def _located(source: str | Path) -> Path:
    """Path of a file, fetched from the Hub if ``source`` is an id there."""
    path = Path(source)
    if path.exists() or isinstance(source, Path):
        return path
    if (found := hub_file(source)) is not None:
        return download(*found)
    raise FileNotFoundError(
        f"no such file: {source}; expected the path of a .safetensors or .ckpt file, or an id on the Hugging Face Hub "
        "as owner/name:file, for instance HaoyiZhu/SPA:spa-b.safetensors"
    )


def _prefix(names: Iterable[str]) -> str:
    """What stands before the encoder's names in a file."""
    return next((p for p in (MODEL + BACKBONE, BACKBONE) if any(n.startswith(p) for n in names)), "")


def _encoder_shapes(shapes: Mapping[str, Shape], prefix: str) -> dict[str, Shape]:
    """Shapes of the encoder's tensors, by name without prefix."""
    inside = {n.removeprefix(prefix): shape for n, shape in shapes.items() if n.startswith(prefix)}
    return {name: shape for name, shape in inside.items() if not name.startswith(_BESIDE)}


def _architecture(where: str, shapes: Mapping[str, Shape]) -> Architecture:
    """Sizes from the shapes of an encoder's tensors; where they disagree, what most of them say."""
    telling = [shape for name, shape in shapes.items() if shape and name.endswith(_WIDTH_LAST)]
    if not telling:
        found = _listed(list(shapes)) or "none"
        raise CheckpointMismatch(
            f"{where} (tensors: {found})", missing=["cls_token", "pos_embed", "norm.weight"]
        )
    width = mode(shape[-1] for shape in telling)
    if width % HEAD_WIDTH:
        raise ValueError(
            f"{where}: width {width} is not a multiple of {HEAD_WIDTH}, the width of SPA's heads"
        )
    blocks = [int(i) for n in shapes if n.startswith("blocks.") and (i := n.split(".")[1]).isdecimal()]
    depth = RELEASED_DEPTH.get(width, max(blocks, default=0) + 1)
    kernel = shapes.get("patch_embed.proj.weight", ())
    return Architecture(width, depth, width // HEAD_WIDTH, kernel[-1] if len(kernel) == 4 else 16)


def _check(where: str, found: Mapping[str, Shape], encoder: SpaEncoder) -> None:
    """Raise CheckpointMismatch unless names and shapes agree; the position table may be of another (square) grid."""
    expected = {name: tuple(t.shape) for name, t in encoder.state_dict().items()}
    misshaped = []
    for name, wanted in expected.items():
        shape = found.get(name, wanted)
        if name == "pos_embed":
            square = len(shape) == 3 and shape[1] > 1 and isqrt(shape[1] - 1) ** 2 == shape[1] - 1
            if not square or (shape[0], shape[2]) != (1, wanted[2]):
                misshaped.append((name, shape, f"[1, 1 + a square number, {wanted[2]}]"))
        elif shape != wanted:
            misshaped.append((name, shape, str(list(wanted))))
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if missing or unexpected or misshaped:
        raise CheckpointMismatch(where, missing, unexpected, misshaped)


def _released_names(source: VisionTransformer | Mapping[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(source, nn.Module):
        if source.width != source.heads * HEAD_WIDTH:
            raise ValueError(
                f"width {source.width} with {source.heads} heads has no released layout: a reader takes heads to be "
                f"{HEAD_WIDTH} wide; build it with heads = width / {HEAD_WIDTH}, or keep its state_dict() by itself"
            )
        return {MODEL + BACKBONE + name: tensor for name, tensor in source.state_dict().items()}
    return {MODEL + name.removeprefix(MODEL): tensor for name, tensor in source.items()}


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None)
    return tensor.contiguous()


def _verify(path: Path, shapes: Mapping[str, Shape]) -> None:
    """Raise unless an encoder can be read back from tensors of these names and shapes."""
    where = f"what was to be written to {path}"
    found = _encoder_shapes(shapes, MODEL + BACKBONE)
    architecture = _architecture(where, found)
    with torch.device("meta"):
        encoder = SpaEncoder(architecture.patch, **vars(architecture))
    _check(where, found, encoder)


def _listed(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""SpatialVLA's files, in and out: a folder with ``config.json`` and the weights in one or several .safetensors files.

Weights go from the file to their place tensor by tensor; nothing is read twice and nothing initialised for nothing, so
that loading takes the memory of the weights and of one tensor more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor, nn
from transformers import PreTrainedModel, ZoeDepthForDepthEstimation

from ..spa.tensor_file import open_tensors
from .configuration import SpatialVlaConfig
from .model import SpatialVla
from .naming import from_released, to_released

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
DEPTH = "vision_zoe_model."

Shape = tuple[int, ...]


class CheckpointMismatch(ValueError):
    """The tensors of a checkpoint are not those of the model that its configuration describes.

    Attributes:
        missing, unexpected: names as in released files.
        misshaped: name, shape found, shape expected.
    """

    def __init__(
        self,
        where: str | Path,
        missing: Iterable[str] = (),
        unexpected: Iterable[str] = (),
        misshaped: Iterable[tuple[str, Shape, Shape]] = (),
    ) -> None:
        self.missing, self.unexpected, self.misshaped = list(missing), list(unexpected), list(misshaped)
        lists = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mis-shaped": [
                f"{name} {list(found)}, expected {list(to)}" for name, found, to in self.misshaped
            ],
        }
        text = [f"{title} ({len(names)}): {_listed(names)}" for title, names in lists.items() if names]
        super().__init__(
            "\n  ".join([f"{where} does not hold the SpatialVLA that its config.json describes:", *text])
            + "\nExpected are the released names (language_model.model.layers.*, spatial_embed_tokens.weight, ...) and "
            "the sizes of config.json; spatialvla/naming.py says how they relate to the model's own."
        )


def load(
    folder: str | Path,
    *,
    config: SpatialVlaConfig | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    depth_network: bool = True,
    compat: bool = False,
) -> SpatialVla:
    """The network of a checkpoint in the released layout, in evaluation mode.

    Args:
        folder: holds ``config.json`` and ``model.safetensors``, or shards and their ``model.safetensors.index.json``.
        config: what the files must hold; None reads ``config.json``.
        dtype: type of the weights; None keeps the file's, bfloat16 as released.
        compat: as of :class:`.model.SpatialVla`.
        depth_network: False leaves ZoeDepth (345 M parameters) on the disk, for those who have depth.

    Raises:
        FileNotFoundError, UnreadableCheckpoint: a file is absent or damaged.
        CheckpointMismatch: tensors are missing, unexpected or of a wrong shape.
    """
    folder = Path(folder)
    config = config or SpatialVlaConfig.read(folder)
    if not depth_network:
        config = config.without_depth()
    with torch.device("meta"):  # every value comes from the files
        model = SpatialVla(config, compat)
    files = _files(folder)
    _check(folder, _shapes(files), model, skip=() if config.depth else (DEPTH,))
    expected = set(model.state_dict())
    for path in files:
        with open_tensors(path) as file:
            placed = {
                name: file.read(released).to(device, dtype)
                for released in file.shapes
                if (name := from_released(released)) in expected
            }
            model.load_state_dict(placed, strict=False, assign=True)
    owners = (model.vision_tower, model.language_model, model.vision_zoe_model)
    for owner in filter(None, owners):
        _fill_buffers(owner, torch.device(device))
    return model.to(device).eval()


def load_depth_network(folder: str | Path) -> ZoeDepthForDepthEstimation:
    """ZoeDepth alone, in float32 and evaluation mode, of a checkpoint in the released layout.

    Raises:
        ValueError: the checkpoint has none. CheckpointMismatch: tensors are missing.
    """
    folder = Path(folder)
    config = SpatialVlaConfig.read(folder).depth
    if config is None:
        raise ValueError(f"{folder} is a SpatialVLA without ZoeDepth")
    with torch.device("meta"):
        network = ZoeDepthForDepthEstimation(config)
    placed: dict[str, Tensor] = {}
    for path in _files(folder):
        with open_tensors(path) as file:
            names = [name for name in file.shapes if name.startswith(DEPTH)]
            placed |= {from_released(name).removeprefix(DEPTH): file.read(name).float() for name in names}
    if missing := [to_released(DEPTH + name) for name in network.state_dict() if name not in placed]:
        raise CheckpointMismatch(folder, missing)
    network.load_state_dict(placed, assign=True)
    _fill_buffers(network, torch.device("cpu"))
    return network.eval()


def save_released(model: SpatialVla, folder: str | Path, shard_size: str = "5GB") -> None:
    """Write ``config.json`` and the weights in the released layout.

    The action table is also written over the last rows of the input table, where the published code and a plain
    PaliGemma look for it; the model itself never reads those rows.

    Args:
        shard_size: most that one file holds; several files get an index.

    Raises:
        CheckpointMismatch: the model's tensors are not the released ones, when adapters or quantised layers are in it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        table = model.language_model.model.embed_tokens.weight
        table[model.config.action_begin :] = model.spatial_embed_tokens.weight.to(table.dtype)
    state = {to_released(name): tensor.detach() for name, tensor in model.state_dict().items()}
    with torch.device("meta"):
        plain = SpatialVla(model.config)
    _check(folder, {name: tuple(t.shape) for name, t in state.items()}, plain)
    model.config.write(folder)
    save_torch_state_dict(state, folder, max_shard_size=shard_size)


def released_table(model: nn.Module) -> dict[str, Shape]:
    """Name and shape of every tensor of a model, as a released file has them."""
    return {to_released(name): tuple(t.shape) for name, t in model.state_dict().items()}


def _files(folder: Path) -> list[Path]:
    """The files of weights in a folder."""
    index = folder / INDEX
    if index.is_file():
        names: dict[str, str] = json.loads(index.read_text())["weight_map"]
        files = [folder / name for name in sorted(set(names.values()))]
        if absent := [path.name for path in files if not path.is_file()]:
            raise FileNotFoundError(f"{folder} lacks {_listed(absent)}, named in {INDEX}; download them too")
        return files
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    raise FileNotFoundError(f"{folder} has neither {INDEX} nor {SINGLE}; expected a checkpoint as released")


def _shapes(files: list[Path]) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for path in files:
        with open_tensors(path) as file:
            found |= file.shapes
    return found


def _check(where: Path, found: Mapping[str, Shape], model: SpatialVla, skip: tuple[str, ...] = ()) -> None:
    """Raise CheckpointMismatch unless names and shapes agree; names that start as in ``skip`` may be there."""
    expected = released_table(model)
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected and not name.startswith(skip)]
    misshaped = [(n, found[n], shape) for n, shape in expected.items() if n in found and found[n] != shape]
    if missing or unexpected or misshaped:
        raise CheckpointMismatch(where, missing, unexpected, misshaped)


def _fill_buffers(owner: PreTrainedModel, device: torch.device) -> None:
    """Give their values to the buffers that no file holds: positions, rotary frequencies and the like."""
    for parameter in owner.parameters():  # transformers leaves these as they are
        parameter._is_hf_initialized = True  # pyright: ignore[reportAttributeAccessIssue]
    for module in owner.modules():
        buffers: dict[str, Tensor | None] = module._buffers
        empty = {n: t for n, t in buffers.items() if t is not None and t.is_meta}
        if not empty:
            continue
        for name, buffer in empty.items():
            buffers[name] = torch.empty_like(buffer, device=device)
        # What transformers itself does after it has built on the meta device.
        _nearest_model(owner, module)._init_weights(module)


def _nearest_model(owner: PreTrainedModel, module: nn.Module) -> PreTrainedModel:
    """The innermost model of transformers that a module is part of; it knows how its modules start."""
    inside = [m for m in owner.modules() if isinstance(m, PreTrainedModel) and module in set(m.modules())]
    return inside[-1]


def _listed(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

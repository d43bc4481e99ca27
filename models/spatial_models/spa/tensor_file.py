"""Reads single tensors out of a .safetensors or .ckpt file; the rest of the file stays on the disk."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth")


class UnreadableCheckpoint(ValueError):
    """The file is damaged, or would run code if it were read."""


@dataclass(frozen=True)
class TensorFile:
    """An open file of named tensors. ``read`` gives one of them, on the CPU; it must not outlive the file."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Tensor]


@contextmanager
def open_tensors(path: Path) -> Iterator[TensorFile]:
    """Open a .safetensors file, or a PyTorch file with the weights under ``state_dict`` or at top level.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableCheckpoint: it is no such file, is damaged, or holds pickled objects.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if path.suffix not in SUFFIXES:
        raise UnreadableCheckpoint(f"{path}: expected a file that ends in {' or '.join(SUFFIXES)}")
    if path.suffix == ".safetensors":
        try:
            opened = safe_open(path, framework="pt", device="cpu")
        except SafetensorError as error:
            raise UnreadableCheckpoint(
                f"{path} is damaged or is no safetensors file ({error}); download it again"
            ) from error
        with opened as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            yield TensorFile(path, shapes, file.get_tensor)
    else:
        state = _torch_state(path)
        yield TensorFile(path, {name: tuple(t.shape) for name, t in state.items()}, state.__getitem__)


def _torch_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file, mapped from the disk where its format allows; no code in it is run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise UnreadableCheckpoint(
            f"{path} holds pickled objects beside the weights, or is damaged; reading such objects can run any code, "
            "so it is refused. Take the .safetensors file of the same model if there is one. If you trust the file, "
            "convert it once: torch.save({'state_dict': torch.load(old, map_location='cpu', weights_only=False)"
            f"['state_dict']}}, new). PyTorch says: {str(error).splitlines()[0]}"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise UnreadableCheckpoint(f"{path} is damaged ({error}); download it again") from error
    return _named_tensors(path, content)


def _named_tensors(path: Path, content: Any) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        raise UnreadableCheckpoint(
            f"{path}: expected a dictionary with 'state_dict', got {type(content).__name__}"
        )
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise UnreadableCheckpoint(
            f"{path}: expected the weights under top-level 'state_dict', found {', '.join(map(str, content))[:200]}"
        )
    return state

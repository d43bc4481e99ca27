"""Weights in 8 or 4 bits, through bitsandbytes or torchao: less memory, the same network."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import nn

from .model import SpatialVla

Backend = Literal["bitsandbytes", "torchao"]
BACKENDS: tuple[Backend, ...] = ("bitsandbytes", "torchao")


class NoQuantiser(ImportError):
    """No library that quantises is installed."""


def quantise(model: SpatialVla, bits: Literal[4, 8], backend: Backend | None = None) -> SpatialVla:
    """Quantise the linear layers of text model and SigLIP in place, on the device they are on.

    Embeddings, output head, projector, Ego3D and ZoeDepth stay as they are: few of the multiplications, and the head's
    rows are read slot by slot.

    Args:
        bits: 8, or 4 (bitsandbytes: NF4; torchao: integers in groups of 32).
        backend: library; None takes the first that is installed.

    Raises:
        NoQuantiser: the library, or any, is not installed.
        ValueError: ``bits`` is another number.
    """
    if bits not in (4, 8):
        raise ValueError(f"{bits} bits; expected 4 or 8")
    chosen, library = _library(backend)
    if chosen == "torchao":
        for part in _parts(model):
            _with_torchao(part, bits)
    else:
        for parent, name, linear in list(_linears(model)):
            setattr(parent, name, _with_bitsandbytes(library, linear, bits))
    return model


def _library(backend: Backend | None) -> tuple[Backend, Any]:
    for name in BACKENDS if backend is None else (backend,):
        try:
            return name, importlib.import_module(name)
        except ImportError:
            continue
    wanted = " or ".join(BACKENDS if backend is None else (backend,))
    raise NoQuantiser(
        f"{wanted} is not installed, which quantisation needs: pip install 'spatial_models[quantise]', or load the "
        "model without quantisation"
    )


def _parts(model: SpatialVla) -> tuple[nn.Module, nn.Module]:
    return model.language_model.model.layers, model.vision_tower.encoder


def _linears(model: SpatialVla) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Every linear layer to quantise, with the module it is in and its name there."""
    for part in _parts(model):
        for module in part.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.Linear):
                    yield module, name, child


def _with_bitsandbytes(library: Any, linear: nn.Linear, bits: int) -> nn.Module:
    weight, device = linear.weight, linear.weight.device
    sizes = (linear.in_features, linear.out_features, linear.bias is not None)
    if bits == 4:
        layer = library.nn.Linear4bit(*sizes, compute_dtype=weight.dtype, quant_type="nf4", device="meta")
        layer.weight = library.nn.Params4bit(
            weight.data.cpu(), requires_grad=False, quant_type="nf4", module=layer
        )
    else:
        layer = library.nn.Linear8bitLt(*sizes, has_fp16_weights=False, device="meta")
        layer.weight = library.nn.Int8Params(weight.data.cpu(), requires_grad=False, has_fp16_weights=False)
    if linear.bias is not None:
        layer.bias = linear.bias
    return layer.to(device).eval()  # moving is what quantises


def _with_torchao(part: nn.Module, bits: int) -> None:
    settings = importlib.import_module("torchao.quantization")
    if bits == 8:
        wanted = settings.Int8WeightOnlyConfig()
    else:
        wanted = settings.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=settings.PerGroup(32))
    settings.quantize_(part, wanted)

"""Names of tensors: in the released files, written by transformers 4.47, and in the classes of transformers 5."""

from __future__ import annotations

import re

_SIGLIP = ("vision_tower.vision_model.", "vision_tower.")
_BEIT = ("vision_zoe_model.backbone.", "vision_zoe_model.backbone.beit.")
_LAYER = re.compile(r"(encoder\.layer|layers)\.(\d+)\.(.+)")

# Inside a layer of ZoeDepth's BEiT, by the start of what follows the layer's number; released, here.
_BEIT_LAYER = (
    ("attention.attention.query.", "attention.q_proj."),
    ("attention.attention.key.", "attention.k_proj."),
    ("attention.attention.value.", "attention.v_proj."),
    ("attention.attention.relative_position_bias.", "relative_position_bias."),
    ("attention.output.dense.", "attention.o_proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
)


def from_released(name: str) -> str:
    """Name here of a released tensor."""
    if name.startswith(_SIGLIP[0]):
        return _SIGLIP[1] + name.removeprefix(_SIGLIP[0])
    if name.startswith(_BEIT[0]):
        rest = name.removeprefix(_BEIT[0])
        if (match := _LAYER.fullmatch(rest)) is not None:
            rest = f"layers.{match[2]}.{_renamed(match[3], released=True)}"
        return _BEIT[1] + rest
    return name


def to_released(name: str) -> str:
    """Name in a released file of a tensor here; undoes :func:`from_released`."""
    if name.startswith(_SIGLIP[1]):
        return _SIGLIP[0] + name.removeprefix(_SIGLIP[1])
    if name.startswith(_BEIT[1]):
        rest = name.removeprefix(_BEIT[1])
        if (match := _LAYER.fullmatch(rest)) is not None:
            rest = f"encoder.layer.{match[2]}.{_renamed(match[3], released=False)}"
        return _BEIT[0] + rest
    return name


def _renamed(rest: str, released: bool) -> str:
    for theirs, ours in _BEIT_LAYER:
        old, new = (theirs, ours) if released else (ours, theirs)
        if rest.startswith(old):
            return new + rest.removeprefix(old)
    return rest

"""What of the network is trained: everything, the action table, the position encoding, or low-rank corrections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from .model import SpatialVla

# Text model, SigLIP, projector and Ego3D's two layers; as published, but for ZoeDepth, which runs without gradient.
LORA_TARGETS = (
    r"language_model\.model\.layers\..*_proj|vision_tower\..*\.(.*_proj|fc[12])|multi_modal_projector\.linear|"
    r"position_embedding_3d\.position_embedding_head\.[03]"
)


@dataclass(frozen=True)
class Trained:
    """What is trained; the input table of the text and ZoeDepth never are.

    Attributes:
        everything: all else; the parts below are then in it.
        action_table: input embeddings of the action tokens. ego3d: the position encoding's layers.
        head: the output table, a row for every id; with new tokens, whose rows are interpolated, it is worth training.
        lora_rank: rank of corrections to the linear layers, 0 for none. lora_alpha: their scale times the rank.
    """

    everything: bool = False
    action_table: bool = True
    ego3d: bool = True
    head: bool = False
    lora_rank: int = 0
    lora_alpha: float = 32.0

    def __post_init__(self) -> None:
        if self.everything and self.lora_rank:
            raise ValueError(
                f"everything is trained and corrections of rank {self.lora_rank} too; choose one of the two"
            )
        if not (self.everything or self.action_table or self.ego3d or self.head or self.lora_rank):
            raise ValueError("nothing is to be trained; choose at least one part")


def prepare(model: SpatialVla, trained: Trained) -> SpatialVla:
    """Freeze what is not trained and put in corrections, in place.

    LoRA's layers replace the linear ones; :func:`merge_lora` undoes that before the model is saved.
    """
    model.requires_grad_(trained.everything)
    if trained.lora_rank:
        config = LoraConfig(
            r=trained.lora_rank,
            lora_alpha=trained.lora_alpha,  # pyright: ignore[reportArgumentType]
            target_modules=LORA_TARGETS,
            init_lora_weights="gaussian",
        )
        inject_adapter_in_model(config, model)
    model.language_model.model.embed_tokens.requires_grad_(False)
    if model.vision_zoe_model is not None:
        model.vision_zoe_model.requires_grad_(False)
    if trained.action_table:
        model.spatial_embed_tokens.requires_grad_(True)
    if trained.head:
        model.language_model.lm_head.requires_grad_(True)
    if trained.ego3d:
        for layer in model.position_embedding_3d.position_embedding_head:
            # The linear ones learn through their corrections where they have some.
            if not isinstance(layer, BaseTunerLayer):
                layer.requires_grad_(True)
    return model


def merge_lora(model: SpatialVla) -> SpatialVla:
    """Add the corrections to the weights and take their layers out, in place: the released layout again."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(module, name, child.get_base_layer())
    return model


def merged_state(state: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The weights of :func:`prepare`'s model with its corrections added, names as without them.

    As :func:`merge_lora` without the model, whose weights may lie on many devices.

    Args:
        scale: of the corrections, alpha divided by the rank.
    """
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        stem = name.removesuffix(".base_layer.weight")
        if stem != name:
            down, up = (state[f"{stem}.lora_{side}.default.weight"] for side in "AB")
            tensor = (tensor.float() + scale * up.float() @ down.float()).to(tensor.dtype)
        out[plain] = tensor
    return out


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that are trained, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}

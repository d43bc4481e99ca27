"""SPA: a plain ViT with 3D awareness (arXiv 2410.08208)."""

from .checkpoint import CheckpointMismatch, load_encoder, read_released, save_released
from .encoder import SpaEncoder
from .hub import DownloadFailed
from .masked import MaskedImageBranch
from .tensor_file import UnreadableCheckpoint
from .variants import (
    spa_vit_base_patch16,
    spa_vit_large_patch16,
    spa_vit_small_patch16,
    spa_vit_tiny_patch16,
)
from .vit import VisionTransformer

__all__ = [
    "SpaEncoder",
    "spa_vit_tiny_patch16",
    "spa_vit_small_patch16",
    "spa_vit_base_patch16",
    "spa_vit_large_patch16",
    "load_encoder",
    "read_released",
    "save_released",
    "MaskedImageBranch",
    "VisionTransformer",
    "CheckpointMismatch",
    "DownloadFailed",
    "UnreadableCheckpoint",
]

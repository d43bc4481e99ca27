"""SPA's network: the plain ViT of MAE, without classifier (arXiv 2410.08208; HaoyiZhu/SPA: img_backbones/vit.py).

Parameter names and order of operations are those of the released checkpoints: pre-norm blocks, LayerNorm eps 1e-6,
packed qkv, exact GELU, one learned position table with a row for the class token, final norm on all tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .position_table import sincos_position_table
from .preprocessing import normalise

__all__ = ["VisionTransformer", "Block", "Attention", "Mlp", "PatchEmbed", "sincos_position_table"]


class Attention(nn.Module):
    """Multi-head self-attention, q, k and v packed in one linear layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d))


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Image (N, 3, H, W) to patch tokens (N, h w, D), row-major."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """SPA's ViT, and the initialisation it starts from: MAE's.

    Args:
        image_size: side of the square input [px], a multiple of ``patch``. patch: side of a patch [px].
        width: channels D. depth: blocks. heads: attention heads.

    Attributes:
        grid: patches along one side of the image.
        gradient_checkpointing: compute the blocks again in the backward pass instead of keeping their activations.
    """

    def __init__(
        self, image_size: int = 224, patch: int = 16, width: int = 768, depth: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        if image_size % patch:
            raise ValueError(f"image_size {image_size} is not a multiple of the patch side {patch}")
        if width % heads or width % 4:
            raise ValueError(f"width {width} must be a multiple of heads ({heads}) and of 4")
        self.image_size, self.patch, self.width, self.heads = image_size, patch, width, heads
        self.grid = image_size // patch
        self.gradient_checkpointing = False
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sincos_position_table(width, self.grid))
        self.patch_embed = PatchEmbed(width, patch)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.view(width, -1))  # as the matrix that it is
        self.apply(initialise_linear)
        nn.init.normal_(self.cls_token, std=0.02)

    def embed(self, image: Tensor) -> Tensor:
        """Normalised image (N, 3, S, S) to patch tokens (N, h w, D) that know their place; no class token yet."""
        return self.patch_embed(image) + self.pos_embed[:, 1:]

    def transform(self, patches: Tensor) -> Tensor:
        """Any number of embedded patches (N, P, D) to (N, 1 + P, D), class token first, after the final norm."""
        first = (self.cls_token + self.pos_embed[:, :1]).to(patches.dtype)
        x = torch.cat(
            (first.expand(patches.shape[0], -1, -1), patches), dim=1
        )  # len() would fix the batch on export
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return self.norm(x)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image (N, 3, S, S), RGB in [0, 1], to class token (N, D) and patch tokens (N, h w, D), row-major."""
        x = self.transform(self.embed(normalise(image)))
        return x[:, 0], x[:, 1:]


def initialise_linear(module: nn.Module) -> None:
    """Xavier-uniform matrix and zero bias, as in MAE; modules other than linear layers are left as they are."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)

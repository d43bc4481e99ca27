"""Ego3D-conditioned action decoder: localise the named object in 3D, then move relative to it.

Two stages share the patch tokens. *Localise*: the words attend to the patches, and a pointer scores every sub-cell of
every patch; the scores weigh the cells' 3D points into one target in the robot's base frame. *Act*: twelve queries,
three per step, read the target relative to the tool and choose translation, rotation and gripper tokens of the
adaptive grid (arXiv 2501.15830) in one parallel pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..spa.vit import Mlp
from .ego3d import Ego3DPositionEncoding, FourierFeatures

EGO3D_CELLS = [0, 2, 8, 10]  # of a patch's 4 x 4 sub-cells: the 2 x 2 points that SpatialVLA encodes
NEIGHBOURHOOD = 0.06  # m; cells farther than this from the best cell belong to something else


@dataclass
class DecoderOutput:
    """What the decoder says. B instructions, P patches, S sub-cells, T steps.

    Attributes:
        cell_logits: (B, P * S + 1) score of every sub-cell; the last one means "not in view".
        target: (B, 3) base frame [m].
        translation, rotation, gripper: token logits (B, T, cells of the slot).
    """

    cell_logits: Tensor
    target: Tensor
    translation: Tensor
    rotation: Tensor
    gripper: Tensor


class CrossBlock(nn.Module):
    """Pre-norm block: queries attend to each other, then to the memory, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_self = nn.LayerNorm(width)
        self.qkv_self = nn.Linear(width, 3 * width)
        self.proj_self = nn.Linear(width, width)
        self.norm_cross = nn.LayerNorm(width)
        self.q_cross = nn.Linear(width, width)
        self.kv_cross = nn.Linear(width, 2 * width)
        self.proj_cross = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x = x + self.proj_self(self._attend(*self.qkv_self(self.norm_self(x)).chunk(3, dim=-1)))
        k, v = self.kv_cross(memory).chunk(2, dim=-1)
        x = x + self.proj_cross(self._attend(self.q_cross(self.norm_cross(x)), k, v))
        return x + self.mlp(self.norm_mlp(x))


class Localiser(nn.Module):
    """Words and patches to a 3D target."""

    def __init__(self, width: int, heads: int, depth: int, cells: int, key_width: int = 32) -> None:
        super().__init__()
        self.cells, self.key_width = cells, key_width
        self.pointer = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.blocks = nn.ModuleList(CrossBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, cells * key_width)
        self.query = nn.Linear(width, key_width)
        self.absent = nn.Linear(width, 1)
        self.offset = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 3))

    def forward(self, words: Tensor, patches: Tensor, points: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        """Words (B, L, D), patches (B, P, D), points (B, P, S, 3), valid (B, P, S) bool.

        Returns cell logits (B, P * S + 1), target (B, 3), words (B, 1 + L, D) after attending, and the patch
        features under the pointer (B, D).
        """
        b, p = patches.shape[:2]
        x = torch.cat((self.pointer.expand(b, -1, -1), words), dim=1)
        for block in self.blocks:
            x = block(x, patches)
        x = self.norm(x)
        key = self.key(patches).view(b, p * self.cells, self.key_width)
        logits = (key @ self.query(x[:, 0])[..., None])[..., 0].float() / self.key_width**0.5
        logits = torch.where(valid.reshape(b, -1), logits, torch.full_like(logits, -1e4))
        cloud = points.reshape(b, -1, 3)
        best = torch.gather(cloud, 1, logits.argmax(1)[:, None, None].expand(-1, 1, 3))
        near = (cloud - best).square().sum(-1) < NEIGHBOURHOOD**2
        weight = torch.where(near, logits, torch.full_like(logits, -1e4)).softmax(-1)
        centroid = (weight[..., None] * cloud).sum(1)
        feature = (weight.view(b, p, -1).sum(-1)[..., None] * patches).sum(1)
        target = centroid + 0.05 * self.offset(torch.cat((feature, x[:, 0]), dim=-1)).float()
        return torch.cat((logits, self.absent(x[:, 0]).float()), dim=1), target, x, feature


class CellHead(nn.Module):
    """Scores grid cells by their geometry: similar motions have similar embeddings (spatial embedding adaptation)."""

    centres: Tensor

    def __init__(self, width: int, centres: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres.float(), persistent=False)
        self.fourier = FourierFeatures(6)
        self.embed = nn.Sequential(nn.Linear(3 * 13, width), nn.GELU(), nn.Linear(width, width))
        self.own = nn.Parameter(torch.zeros(len(centres), width))

    def table(self) -> Tensor:
        """Embeddings of the cells (cells, width)."""
        return self.embed(self.fourier(self.centres)) + self.own

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.table().T / x.shape[-1] ** 0.5


class ActionDecoder(nn.Module):
    """Features, points, tool state and words to action tokens.

    Args:
        features: channels of the encoder. vocabulary: number of word ids (0 is padding).
        translation_centres, rotation_centres: (cells, 3) of the grid, in units of the longest step.
    """

    STATE = 10  # tool position (3), first two columns of its rotation (6), gripper opening (1)

    def __init__(
        self,
        features: int,
        vocabulary: int,
        translation_centres: Tensor,
        rotation_centres: Tensor,
        *,
        width: int = 192,
        heads: int = 6,
        depth: int = 2,
        steps: int = 4,
        cells: int = 16,
        max_words: int = 12,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.project = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, width))
        self.ego3d = Ego3DPositionEncoding(width, points=len(EGO3D_CELLS))
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.word_position = nn.Parameter(torch.randn(1, max_words, width) * 0.02)
        self.localiser = Localiser(width, heads, depth, cells)
        self.fourier = FourierFeatures(8)
        self.condition = nn.Sequential(
            nn.Linear(7 * 17 + 9 + 7 + 2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.queries = nn.Parameter(torch.randn(1, 3 * steps, width) * 0.02)
        self.blocks = nn.ModuleList(CrossBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.translation = CellHead(width, translation_centres)
        self.rotation = CellHead(width, rotation_centres)
        self.gripper = nn.Linear(width, 2)

    def forward(
        self,
        features: Tensor,
        points: Tensor,
        valid: Tensor,
        state: Tensor,
        words: Tensor,
        teacher_target: Tensor | None = None,
    ) -> DecoderOutput:
        """Shapes for N images and B = N K instructions, K for each image in turn: features (N, P, C), points
        (N, P, S, 3) in the base frame [m], valid (N, P, S) bool, state (N, 10), words (B, L) int64.
        ``teacher_target`` (B, 3) replaces the pointed target in the act stage while training.
        """
        patches = self.project(features) + self.ego3d(points[:, :, EGO3D_CELLS])
        per_image = len(words) // len(features)
        if per_image > 1:
            patches, points, valid, state = (
                t.repeat_interleave(per_image, dim=0) for t in (patches, points, valid, state)
            )
        tokens = self.words(words) + self.word_position
        logits, target, said, feature = self.localiser(tokens, patches, points, valid)
        aim = target.detach() if teacher_target is None else teacher_target
        condition = self.condition(self._relative(aim, state, feature, said[:, 0]))
        x = self.queries + condition[:, None]
        memory = torch.cat((said, patches), dim=1)
        for block in self.blocks:
            x = block(x, memory)
        x = self.norm(x).unflatten(1, (self.steps, 3))
        return DecoderOutput(
            logits, target, self.translation(x[:, :, 0]), self.rotation(x[:, :, 1]), self.gripper(x[:, :, 2])
        )

    def _relative(self, target: Tensor, state: Tensor, feature: Tensor, said: Tensor) -> Tensor:
        """What the act stage may know: the target seen from the tool at several scales, and the tool itself."""
        tool, attitude = state[:, :3], state[:, 3:]
        offset = target - tool
        scales = torch.cat((offset / 0.2, torch.tanh(offset / 0.05), torch.tanh(offset / 0.015)), dim=-1)
        waves = torch.cat((self.fourier(offset / 0.5), self.fourier(tool / 0.5)), dim=-1)
        # The opening decides between closing and lifting within a few millimetres, hence its own waves.
        opening = self.fourier(attitude[:, 6:])
        return torch.cat((scales, waves, attitude, feature, said, opening), dim=-1)

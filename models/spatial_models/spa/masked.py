"""The image branch of the pre-training: half of the patches go through the ViT, a feature for every pixel comes out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .preprocessing import check_image, normalise
from .vit import VisionTransformer, initialise_linear

UPSAMPLING = 4  # per step, along each side; two steps


class Upsample(nn.Module):
    """(N, C, h, w) to (N, channels, 4h, 4w): 3 x 3 convolution without bias, exact GELU, pixel shuffle."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, channels * UPSAMPLING**2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.gelu(self.conv(x)), UPSAMPLING)


class MaskedImageBranch(VisionTransformer):
    """SPA's ViT with random masking, the read-out of DPT and an up-sampler; parameters as ``img_backbone.*`` released.

    Args:
        image_size, width, depth, heads: as of :class:`VisionTransformer`; patches are of 16 px.
        mask_ratio: part of the patches that the ViT does not see; in evaluation as in training.
        decoder_width: channels after the ViT. channels: of the result.
    """

    def __init__(
        self,
        image_size: int = 224,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        mask_ratio: float = 0.5,
        decoder_width: int = 512,
        channels: int = 64,
    ) -> None:
        super().__init__(image_size, UPSAMPLING**2, width, depth, heads)
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"mask_ratio {mask_ratio} must be at least 0 and below 1")
        self.mask_ratio, self.channels = mask_ratio, channels
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_embed = nn.Linear(width, decoder_width)
        self.readout_project = nn.Sequential(nn.Linear(2 * decoder_width, decoder_width), nn.GELU())
        self.upsample = nn.Sequential(Upsample(decoder_width, channels), Upsample(channels, channels))
        nn.init.normal_(self.mask_token, std=0.02)
        self.decoder_embed.apply(initialise_linear)
        self.readout_project.apply(initialise_linear)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """A feature for every pixel, in the type of ``images`` (autocast may be on around the call).

        Args:
            images: (N, 3, S, S), RGB in [0, 1], S = ``image_size``; normalised here.
            noise: (N, P), one number for each of the P = h w patches, row-major: the patches with the smallest ones are
                seen. None draws it uniformly.

        Returns:
            (N, channels, S, S).

        Raises:
            TypeError: images are not floating point. ValueError: images or noise of another shape.
        """
        check_image(images)
        if images.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"the branch was built for {self.image_size} x {self.image_size} px, got images "
                f"{tuple(images.shape)}; resize and crop them, and the intrinsics with them"
            )
        patches = self.embed(normalise(images))
        order = self._order(patches, noise)
        seen = order[:, : int(self.grid**2 * (1 - self.mask_ratio))]
        tokens = self.decoder_embed(self.transform(_take(patches, seen)))
        x = self._read_out(tokens[:, :1], self._restore(tokens[:, 1:], order))
        x = x.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return self.upsample(x).to(images.dtype)

    def _order(self, patches: Tensor, noise: Tensor | None) -> Tensor:
        """Indices (N, P) of the patches, those that are seen first."""
        shape = patches.shape[:2]
        if noise is None:
            noise = torch.rand(shape, device=patches.device)
        elif noise.shape != shape:
            raise ValueError(
                f"noise must be {tuple(shape)}, one number for each patch, got {tuple(noise.shape)}"
            )
        return noise.argsort(dim=1, stable=True)

    def _restore(self, seen: Tensor, order: Tensor) -> Tensor:
        """Fill the patches that were not seen with the mask token and put all (N, P, C) in their places."""
        n, p = order.shape
        rest = self.mask_token.to(seen.dtype).expand(n, p - seen.shape[1], -1)
        return _take(torch.cat((seen, rest), dim=1), order.argsort(dim=1))

    def _read_out(self, cls: Tensor, patches: Tensor) -> Tensor:
        """DPT's read-out: every patch is projected together with the class token."""
        return self.readout_project(torch.cat((patches, cls.expand_as(patches)), dim=-1))


def _take(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens (N, K, C) at index (N, K) of (N, P, C)."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))

"""SPA's pre-training model: masked views in, colour, depth, normals and semantics of rays out.

Names of modules follow the released checkpoints (``model.`` removed): ``img_backbone``, ``view_transform``,
``dense_head``. The teacher is not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .camera_rays import image_rays
from .feature_volumes import FeatureVolumes, SceneVolumes
from .losses import mean_over_scenes, ray_colours, scene_losses
from .masked import MaskedImageBranch
from .multiview import MultiViewSample, Rays
from .renderer import Renderer, Rendering
from .volume import ViewTransform


@dataclass(frozen=True, eq=False)
class RenderedImage:
    """What one camera sees of a scene.

    Attributes:
        rgb: (3, H, W) in [0, 1]. depth: (H, W) along the ray [m]. normal: (3, H, W), in the world.
        opacity: (H, W), 0 where the ray met nothing. semantic: (K, H, W) or None.
    """

    rgb: Tensor
    depth: Tensor
    normal: Tensor
    opacity: Tensor
    semantic: Tensor | None


class DenseHead(nn.Module):
    """Volumes and renderer."""

    def __init__(self, channels: int, semantic_channels: int) -> None:
        super().__init__()
        self.proj_net = FeatureVolumes(channels, semantic_channels)
        self.renderer = Renderer()


class SpaPretraining(nn.Module):
    """Image branch, volume and renderer.

    Args:
        image_branch: makes a feature map of each view; the only part that autocast touches.
        grid: cells (X, Y, Z) of the volume. channels: of the volume, a multiple of 16.
        semantic_channels: of the teacher's features; 0: no semantic head.
        recompute: trade time for memory: do again in the backward pass what fills most of it.

    Raises:
        ValueError: ``channels`` is not a multiple of 16.
    """

    def __init__(
        self,
        image_branch: MaskedImageBranch,
        grid: tuple[int, int, int] = (128, 128, 32),
        channels: int = 64,
        semantic_channels: int = 1280,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.img_backbone = image_branch
        self.view_transform = ViewTransform(grid, channels, image_branch.channels, recompute)
        self.dense_head = DenseHead(channels, semantic_channels)

    def forward(
        self, samples: Sequence[MultiViewSample], generators: Sequence[torch.Generator] | None = None
    ) -> list[Rendering]:
        """Render the rays of each sample.

        Args:
            samples: they share the passes through the image branch and through the volume's convolutions.
            generators: one per sample, draws its masks and, in training, the places of its samples on rays, so that
                neither depends on the rest of the batch; None: torch's default one.

        Returns:
            One rendering per sample, in float32 and units of the sample's scale.
        """
        renderings = []
        volumes_of = self.volumes(samples, generators)
        for sample, volumes, generator in zip(
            samples, volumes_of, generators or [None] * len(samples), strict=True
        ):
            jitter = _draw((len(sample.rays), 2), generator, sample.images) if self.training else None
            with torch.autocast(sample.images.device.type, enabled=False):
                renderings.append(self._render(volumes, sample, sample.rays, jitter))
        return renderings

    def volumes(
        self, samples: Sequence[MultiViewSample], generators: Sequence[torch.Generator] | None = None
    ) -> list[SceneVolumes]:
        """The three volumes of each sample. In evaluation too, half of the patches are masked.

        Raises:
            ValueError: no samples.
        """
        if not samples:
            raise ValueError("no samples: give at least one MultiViewSample")
        images = torch.cat([sample.images for sample in samples])
        patches = self.img_backbone.grid**2
        noise = torch.cat(
            [
                _draw((len(sample.images), patches), generator, images)
                for sample, generator in zip(samples, generators or [None] * len(samples), strict=True)
            ]
        )
        maps = self.img_backbone(images, noise).split([len(sample.images) for sample in samples])
        with torch.autocast(images.device.type, enabled=False):
            features = self.view_transform(maps, samples)
            if self.recompute and torch.is_grad_enabled():
                return checkpoint(self.dense_head.proj_net, features, use_reentrant=False)
            return self.dense_head.proj_net(features)

    def losses(
        self,
        renderings: Sequence[Rendering],
        samples: Sequence[MultiViewSample],
        semantic: Sequence[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Terms, not yet weighted (`LossWeights.total` does that): means over the scenes.

        Args:
            renderings: from ``forward``. samples: the same. semantic: per sample the teacher's (R, K), or None.
        """
        teacher = semantic if semantic is not None else [None] * len(samples)
        return mean_over_scenes(
            scene_losses(rendering, sample.rays, sample.scale, ray_colours(sample, sample.rays), target)
            for rendering, sample, target in zip(renderings, samples, teacher, strict=True)
        )

    def render_image(self, sample: MultiViewSample, view: int, chunk: int = 8192) -> RenderedImage:
        """What view ``view`` of the sample shows, as `render_camera` renders it.

        Raises:
            IndexError: no such view.
        """
        if not 0 <= view < len(sample.images):
            raise IndexError(
                f"view {view} of sample {sample.name!r}: give one of 0 to {len(sample.images) - 1}"
            )
        height, width = sample.images.shape[-2:]
        camera = sample.intrinsics[view], sample.world_to_camera[view]
        return self.render_camera(sample, *camera, (height, width), chunk)

    @torch.no_grad()
    def render_camera(
        self,
        sample: MultiViewSample,
        intrinsics: Tensor,
        world_to_camera: Tensor,
        size: tuple[int, int],
        chunk: int = 8192,
        volumes: SceneVolumes | None = None,
    ) -> RenderedImage:
        """What any camera sees of a sample's scene. Deterministic; the module's mode is kept.

        Args:
            intrinsics, world_to_camera: (4, 4), in the sample's world. size: height and width [px].
            chunk: rays rendered at a time; the depth of a ray is clipped to the samples of its chunk.
            volumes: of this sample, if at hand; None: made here, with masks from a fixed seed.
        """
        training = self.training
        self.eval()
        try:
            if volumes is None:
                volumes = self.volumes([sample], [torch.Generator().manual_seed(0)])[0]
            rays = image_rays(intrinsics, world_to_camera, size, sample.box)
            parts = [
                self._render(volumes, sample, rays[start : start + chunk], None)
                for start in range(0, len(rays), chunk)
            ]
        finally:
            self.train(training)

        def image(name: str) -> Tensor:
            values = torch.cat([getattr(part, name) for part in parts])
            return values.movedim(0, -1).reshape(*values.shape[1:], *size)

        return RenderedImage(
            rgb=image("rgb"),
            depth=image("depth") * sample.scale,
            normal=image("normal"),
            opacity=image("opacity"),
            semantic=None if volumes.semantic is None else image("semantic"),
        )

    def _render(
        self, volumes: SceneVolumes, sample: MultiViewSample, rays: Rays, jitter: Tensor | None
    ) -> Rendering:
        return self.dense_head.renderer(volumes, rays, sample.box, sample.scale, jitter)


def _draw(shape: tuple[int, ...], generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Uniform numbers on the generator's device, moved to that of ``like``: the same ones on every machine."""
    device = generator.device if generator is not None else like.device
    return torch.rand(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)

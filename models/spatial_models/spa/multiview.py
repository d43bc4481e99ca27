"""One training sample of the pre-training: a few posed views of a scene, and the rays that are to be rendered.

The world of a sample is the camera frame of its first view (OpenCV: x right, y down, z forward), metres. Pixel centres
are at integer coordinates. Depth of a ray is the distance along it, not z.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rays:
    """R rays through pixels of the views.

    Attributes:
        view: (R,) int64, index of the view.
        pixel: (R, 2) float32, (u, v) in the cropped image [px].
        origin: (R, 3) float32 [m]. direction: (R, 3) float32, unit length.
        depth: (R,) float32 distance along the ray to the surface [m]; 0 where unknown.
        near, far: (R,) float32 distances at which the ray enters and leaves the box [m]; both 0 where it misses it.
    """

    view: Tensor
    pixel: Tensor
    origin: Tensor
    direction: Tensor
    depth: Tensor
    near: Tensor
    far: Tensor

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, index: Any) -> Rays:
        """The rays at ``index``: a slice, a mask (R,) or indices."""
        return Rays(*(getattr(self, f.name)[index] for f in fields(self)))

    def to(self, device: torch.device | str) -> Rays:
        """Copy on ``device``."""
        return Rays(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class MultiViewSample:
    """V views of one scene.

    Attributes:
        images: (V, 3, H, W) float32, RGB in [0, 1], resized and cropped.
        intrinsics: (V, 4, 4) float32, camera to pixel of ``images`` (resize and crop included).
        world_to_camera: (V, 4, 4) float32; the first is the identity.
        box: (2, 3) float32, lowest and highest corner of what the depth images saw [m].
        scale: () float32, mean valid ray depth [m]: the unit of length inside the renderer.
        rays: those to render.
        originals: per view the picture before resize and crop, (3, h, w) uint8, for a semantic teacher; () for none.
        pixel_to_original: (V, 3, 3) float32, homogeneous pixel of ``images`` to pixel of ``originals``.
        name: where the sample comes from, for messages.
    """

    images: Tensor
    intrinsics: Tensor
    world_to_camera: Tensor
    box: Tensor
    scale: Tensor
    rays: Rays
    originals: tuple[Tensor, ...]
    pixel_to_original: Tensor
    name: str = ""

    def to(self, device: torch.device | str) -> MultiViewSample:
        """Copy on ``device``."""
        moved: dict[str, Any] = {
            f.name: value.to(device)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor | Rays)
        }
        return replace(self, **moved, originals=tuple(image.to(device) for image in self.originals))

"""Rays through all pixels of a camera, for rendering a whole image."""

from __future__ import annotations

import torch
from torch import Tensor

from .multiview import Rays

NEAREST = 0.1
"""least distance at which a ray is sampled [m]"""


def image_rays(intrinsics: Tensor, world_to_camera: Tensor, size: tuple[int, int], box: Tensor) -> Rays:
    """All rays of one camera, row by row, of view 0 and of unknown depth (0).

    Args:
        intrinsics, world_to_camera: (4, 4). size: height and width [px]. box: (2, 3) [m].
    """
    v, u = torch.meshgrid(*(torch.arange(n, dtype=box.dtype, device=box.device) for n in size), indexing="ij")
    pixel = torch.stack((u, v), dim=-1).reshape(-1, 2)
    origin, direction = pixel_rays(pixel, intrinsics, world_to_camera)
    near, far = box_span(origin, direction, box)
    view = torch.zeros(len(pixel), dtype=torch.int64, device=box.device)
    return Rays(view, pixel, origin, direction, torch.zeros_like(near), near, far)


def pixel_rays(pixel: Tensor, intrinsics: Tensor, world_to_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Origin and unit direction (R, 3), in the world, of the rays through pixels (R, 2) of one camera."""
    camera_to_world = torch.linalg.inv(world_to_camera)
    image_plane = torch.cat((pixel, torch.ones_like(pixel[:, :1])), dim=1)
    direction = image_plane @ torch.linalg.inv(intrinsics[:3, :3]).T @ camera_to_world[:3, :3].T
    direction = direction / direction.norm(dim=-1, keepdim=True)
    return camera_to_world[:3, 3].expand_as(direction), direction


def box_span(origin: Tensor, direction: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (R,) [m] at which rays enter (not below ``NEAREST``) and leave a box (2, 3); both 0 for a miss."""
    inverse = 1 / (direction + 1e-6)
    first, second = (box[0] - origin) * inverse, (box[1] - origin) * inverse
    near = torch.minimum(first, second).amax(-1).clamp(min=NEAREST)
    far = torch.maximum(first, second).amin(-1)
    hit = near < far
    return torch.where(hit, near, 0.0), torch.where(hit, far, 0.0)

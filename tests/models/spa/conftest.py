"""A small made-up sample of several views."""

from collections.abc import Callable

import pytest
import torch
from spatial_models.spa.camera_rays import box_span, pixel_rays
from spatial_models.spa.multiview import MultiViewSample, Rays
from torch import Tensor


def _look(angle: float, shift: tuple[float, float, float]) -> Tensor:
    """World to camera: turned about the vertical axis, then moved."""
    a = torch.tensor(angle, dtype=torch.float64)
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = a.cos(), a.sin(), -a.sin(), a.cos()
    pose[:3, 3] = torch.tensor(shift, dtype=torch.float64)
    return pose


@pytest.fixture(scope="session")
def make_sample() -> Callable[..., MultiViewSample]:
    """Makes a sample of two views with random images, and random rays of which every fifth has no depth."""

    def make(size=(24, 32), rays: int = 20, seed: int = 0, dtype=torch.float32) -> MultiViewSample:
        g = torch.Generator().manual_seed(seed)
        height, width = size
        intrinsics = torch.eye(4, dtype=torch.float64)
        intrinsics[0, 0], intrinsics[1, 1] = 0.9 * width, 0.8 * width
        intrinsics[0, 2], intrinsics[1, 2] = width / 2 - 0.7, height / 2 + 0.4
        poses = torch.stack((torch.eye(4, dtype=torch.float64), _look(0.4, (-0.5, 0.05, 0.2))))
        box = torch.tensor([[-0.9, -0.6, 0.4], [0.8, 0.7, 2.6]], dtype=torch.float64)
        view = torch.randint(0, 2, (rays,), generator=g)
        pixel = torch.stack(
            [torch.randint(0, n, (rays,), generator=g) for n in (width, height)], dim=1
        ).double()
        through = [
            pixel_rays(p[None], intrinsics, poses[v]) for p, v in zip(pixel, view.tolist(), strict=True)
        ]
        origin, direction = (torch.cat([ray[i] for ray in through]) for i in range(2))
        near, far = box_span(origin, direction, box)
        depth = near + (far - near) * torch.rand(rays, generator=g, dtype=torch.float64)
        depth[::5] = 0
        known = (view, *(x.to(dtype) for x in (pixel, origin, direction, depth, near, far)))
        return MultiViewSample(
            images=torch.rand(2, 3, height, width, generator=g, dtype=dtype),
            intrinsics=intrinsics.expand(2, 4, 4).to(dtype),
            world_to_camera=poses.to(dtype),
            box=box.to(dtype),
            scale=torch.tensor(1.4, dtype=dtype),
            rays=Rays(*known),
            originals=(),
            pixel_to_original=torch.eye(3, dtype=dtype).expand(2, 3, 3),
            name="made up",
        )

    return make

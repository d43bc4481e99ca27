"""From a few RGB-D views of a scene to one training sample, as SPA makes them from ScanNet.

Colour is brought to the size of depth. Then, with the same numbers for all views: resize, crop, world := first camera,
removal of depth outliers, rays, box, choice of rays, colour jitter. Without a random generator every choice is fixed:
the smallest size, the crop in the middle, all rays, no jitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..camera_rays import box_span, pixel_rays
from ..multiview import MultiViewSample, Rays
from .jitter import ColorJitter

Array = NDArray[np.float64]
#: Share of the valid depths that is discarded at either end.
OUTLIERS = 0.05
#: A view needs more than this share of valid depth, the box more than this on every side [m].
LEAST_VALID, LEAST_SIDE = 0.10, 0.05


class RejectedSample(ValueError):
    """These views make no usable sample; others of the scene may."""


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn from a scene.

    Attributes:
        crop: side of the square picture [px].
        short_side: range that the shorter side is resized to before the crop [px]; for 640x480 pictures the default is
            a factor of 0.47 to 0.50.
        views: fewest and most views of a sample; the fixed path takes the most.
        interval: every how many frames one is taken.
        rays_per_view: rays drawn from each view in training.
        jitter: whether colours are jittered in training.
        originals: what a semantic teacher is shown: the whole picture, its class picture (class of each pixel, in all
            three channels), or nothing.
    """

    crop: int = 224
    short_side: tuple[float, float] = (225.6, 240.0)
    views: tuple[int, int] = (1, 8)
    interval: int = 20
    rays_per_view: int = 512
    jitter: bool = True
    originals: Literal["color", "segmentation", "none"] = "color"

    def __post_init__(self) -> None:
        if self.short_side[0] < self.crop or self.short_side[1] < self.short_side[0]:
            raise ValueError(
                f"short_side {self.short_side} does not fit a crop of {self.crop}; expected crop <= low <= high"
            )
        if not 1 <= self.views[0] <= self.views[1] or self.interval < 1:
            raise ValueError(
                f"views {self.views} every {self.interval} frames; expected 1 <= fewest <= most and an interval of 1 up"
            )


@dataclass(frozen=True, eq=False)
class RgbdView:
    """One view as the data set has it.

    Attributes:
        color: (h', w', 3) uint8 RGB. depth: (h, w) float32 [m] along the optical axis, 0 where unknown.
        intrinsics: (3, 3) for pixels of ``depth``. camera_to_world: (4, 4), OpenCV axes [m].
        segmentation: (h, w) uint8 class of each pixel, if known.
    """

    color: NDArray[np.uint8]
    depth: NDArray[np.float32]
    intrinsics: Array
    camera_to_world: Array
    segmentation: NDArray[np.uint8] | None = None


def choose_frames(total: int, sampling: Sampling, rng: np.random.Generator | None) -> list[int]:
    """Indices of the views: how many is uniform, the first one is random; short scenes give fewer."""
    fewest, most = sampling.views
    count = most if rng is None else int(rng.integers(fewest, most + 1))
    count = min(count, (total - 1) // sampling.interval + 1)
    span = (count - 1) * sampling.interval
    start = 0 if rng is None else int(rng.integers(total - span))
    return list(range(start, start + span + 1, sampling.interval))


def build_sample(
    views: Sequence[RgbdView], sampling: Sampling, rng: np.random.Generator | None = None, name: str = ""
) -> MultiViewSample:
    """The sample of these views; the first one's camera is its world.

    Args:
        rng: draws size, crop, rays and jitter; None for the fixed path with all rays.

    Raises:
        RejectedSample: too little valid depth in a view, a flat box, or a pose that is not finite.
        ValueError: pictures of different sizes in one scene.
    """
    extrinsics = _world_to_camera(views, name)
    to_crop = _resize_and_crop(views, sampling, rng, name)
    pictures = [_picture(view, to_crop) for view in views]
    images = torch.from_numpy(np.stack([color for color, _ in pictures])).permute(0, 3, 1, 2).float() / 255.0
    depth = remove_outliers(np.stack([depth for _, depth in pictures]))
    _check_depth(depth, name)
    intrinsics = np.stack([to_crop.matrix @ view.intrinsics for view in views])
    rays, box = _rays(depth, intrinsics, extrinsics, name)
    scale = rays.depth[rays.depth > 0].mean()
    if rng is not None:
        rays = rays[_choose_rays(rays, len(views), sampling.rays_per_view, rng)]
        images = ColorJitter.draw(rng).apply(images) if sampling.jitter else images
    four = np.tile(np.eye(4), (len(views), 1, 1))
    four[:, :3, :3] = intrinsics
    return MultiViewSample(
        images=images.contiguous(),
        intrinsics=torch.from_numpy(four).float(),
        world_to_camera=torch.from_numpy(extrinsics).float(),
        box=box.float(),
        scale=scale.float(),
        rays=_single_precision(rays),
        originals=_originals(views, sampling, name),
        pixel_to_original=torch.from_numpy(np.linalg.inv(to_crop.matrix)).float().expand(len(views), 3, 3),
        name=name,
    )


@dataclass(frozen=True, eq=False)
class _Crop:
    """Resize to ``size`` (w, h), then the square window at ``corner`` (x, y); ``matrix`` (3, 3) maps the pixels."""

    size: tuple[int, int]
    corner: tuple[int, int]
    side: int
    matrix: Array


def _resize_and_crop(
    views: Sequence[RgbdView], sampling: Sampling, rng: np.random.Generator | None, name: str
) -> _Crop:
    sizes = {view.depth.shape[::-1] for view in views}
    if len(sizes) > 1:
        raise ValueError(
            f"{name} has depth pictures of different sizes {sorted(sizes)}; expected one size per scene"
        )
    width, height = sizes.pop()
    low, high = sampling.short_side
    factor = (low if rng is None else float(rng.uniform(low, high))) / min(width, height)
    w, h = int(width * factor + 1e-9), int(height * factor + 1e-9)
    spare = w - sampling.crop, h - sampling.crop
    x, y = (n // 2 if rng is None else int(rng.integers(n + 1)) for n in spare)
    matrix = np.array([[w / width, 0.0, -x], [0.0, h / height, -y], [0.0, 0.0, 1.0]])
    return _Crop((w, h), (x, y), sampling.crop, matrix)


def _picture(view: RgbdView, crop: _Crop) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colour (S, S, 3) by Lanczos and depth (S, S) by nearest neighbour."""
    x, y = crop.corner
    window = np.s_[y : y + crop.side, x : x + crop.side]
    color = np.asarray(Image.fromarray(_at_depth_size(view)).resize(crop.size, Image.Resampling.LANCZOS))
    depth = cv2.resize(view.depth, crop.size, interpolation=cv2.INTER_NEAREST)
    return color[window], depth[window].astype(np.float32, copy=False)


def _at_depth_size(view: RgbdView) -> NDArray[np.uint8]:
    height, width = view.depth.shape
    if view.color.shape[:2] == (height, width):
        return view.color
    return np.asarray(Image.fromarray(view.color).resize((width, height), Image.Resampling.LANCZOS))


def _world_to_camera(views: Sequence[RgbdView], name: str) -> Array:
    """(V, 4, 4) in the world of the first camera."""
    poses = np.stack([view.camera_to_world for view in views]).astype(np.float64)
    if not np.isfinite(poses).all():
        raise RejectedSample(f"{name}: a pose is not finite")
    extrinsics = np.linalg.inv(poses) @ poses[0]
    extrinsics[0] = np.eye(4)
    return extrinsics


def remove_outliers(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depths (V, H, W) with the nearest and the farthest 5 % of the valid ones, over all views together, set to 0."""
    valid = np.sort(depth[depth > 0])
    k = int(OUTLIERS * len(valid))
    if k == 0:
        return depth
    return np.where((depth > valid[k - 1]) & (depth < valid[-k]), depth, np.float32(0.0))


def _check_depth(depth: NDArray[np.float32], name: str) -> None:
    share = (depth > 0).mean(axis=(1, 2))
    if share.min() <= LEAST_VALID:
        raise RejectedSample(
            f"{name}: view {int(share.argmin())} has {share.min():.1%} valid depth, {LEAST_VALID:.0%} is too little"
        )


def _rays(depth: NDArray[np.float32], intrinsics: Array, extrinsics: Array, name: str) -> tuple[Rays, Tensor]:
    """All rays (V*H*W,), view by view and row by row, and the box (2, 3) of what they hit, float64."""
    count, height, width = depth.shape
    v, u = np.divmod(np.arange(height * width), width)
    pixel = torch.from_numpy(np.stack((u, v), axis=1).astype(np.float64))
    origins, directions, lengths = [], [], []
    for z, k, world_to_camera in zip(depth, intrinsics, extrinsics, strict=True):
        pose = torch.from_numpy(world_to_camera)
        origin, direction = pixel_rays(pixel, torch.from_numpy(k), pose)
        along_axis = direction @ pose[2, :3]
        origins.append(origin)
        directions.append(direction)
        lengths.append(torch.from_numpy(z.astype(np.float64)).flatten() / along_axis)
    origin, direction, length = torch.cat(origins), torch.cat(directions), torch.cat(lengths)
    points = (origin + direction * length[:, None])[length > 0]
    box = torch.stack((points.amin(0), points.amax(0)))
    if (box[1] - box[0]).min() <= LEAST_SIDE:
        raise RejectedSample(f"{name}: the box of the depth points measures {(box[1] - box[0]).tolist()} m")
    near, far = box_span(origin, direction, box)
    view = torch.arange(count).repeat_interleave(height * width)
    return Rays(view, pixel.repeat(count, 1), origin, direction, length, near, far), box


def _choose_rays(rays: Rays, views: int, per_view: int, rng: np.random.Generator) -> Tensor:
    """Indices of rays with valid depth that hit the box, ``per_view`` of each view if it has so many."""
    usable = ((rays.depth > 0) & (rays.far > 0)).numpy()
    chosen = []
    for view in range(views):
        candidates = np.flatnonzero(usable & (rays.view == view).numpy())
        chosen.append(rng.choice(candidates, min(per_view, len(candidates)), replace=False))
    return torch.from_numpy(np.concatenate(chosen))


def _single_precision(rays: Rays) -> Rays:
    floats = (rays.pixel, rays.origin, rays.direction, rays.depth, rays.near, rays.far)
    return Rays(rays.view, *(tensor.float() for tensor in floats))


def _originals(views: Sequence[RgbdView], sampling: Sampling, name: str) -> tuple[Tensor, ...]:
    if sampling.originals == "none":
        return ()
    if sampling.originals == "color":
        return tuple(torch.from_numpy(_at_depth_size(view).copy()).permute(2, 0, 1) for view in views)
    maps = [view.segmentation for view in views]
    if any(classes is None for classes in maps):
        raise ValueError(f"{name} has no class pictures; use originals='color' or 'none'")
    return tuple(torch.from_numpy(np.asarray(classes).copy()).expand(3, -1, -1) for classes in maps)

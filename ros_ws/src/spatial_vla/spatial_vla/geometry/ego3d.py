"""Where the patches of an image lie in space: what Ego3D encodes (SpatialVLA, arXiv 2501.15830, section III-A).

A patch is divided into sub-cells. The mean depth of each is back-projected through the cell's middle, in the camera's
frame or, where the camera's pose is known, in the robot's base frame.

The released code differs in two ways, which ``compat`` reproduces: it scales the principal point as if the corner of a
pixel were its centre, and takes the middle of a cell half a pixel further; and it rounds to bfloat16 the intrinsics,
the coordinates of the middles and the depth, so that middles beyond pixel 128 lie on even pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from .camera import PinholeCamera
from .se3 import SE3

RELEASED_SIZE, RELEASED_PATCH, RELEASED_SIDE = 224, 14, 2
Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PatchPoints:
    """Points of the sub-cells of P patches, patches and the cells in them row by row.

    Attributes:
        points: (P, side * side, 3) float32 [m].
        valid: (P, side * side) bool; False where no pixel of the cell had depth, and that of the nearest was taken.
    """

    points: Float32
    valid: NDArray[np.bool_]


def patch_points(
    depth: ArrayLike,
    camera: PinholeCamera,
    *,
    size: int = RELEASED_SIZE,
    patch: int = RELEASED_PATCH,
    side: int = RELEASED_SIDE,
    base_from_camera: SE3 | None = None,
    compat: bool = False,
) -> PatchPoints:
    """The points of every patch of the policy's image.

    Args:
        depth: (H, W) metres along the optical axis, registered to the colour image; 0, NaN, infinity: not measured.
        camera: intrinsics of that image; for ``compat``, as :func:`released_intrinsics` gives them. A cropped image
            has those of `PinholeCamera.cropped`. The resizing to ``size``, which does not keep the ratio, is done here
            for both.
        size, patch, side: image side and patch side of the policy [px], sub-cells along an edge of a patch.
        base_from_camera: pose of the optical frame; given, the points are in the base frame.
        compat: the released arithmetic, in bfloat16 and single precision; ``depth`` must be ``size`` square already.

    Raises:
        ValueError: sizes disagree or do not divide, or no pixel has depth.
    """
    image = np.asarray(depth, dtype=np.float32)
    if image.shape != (camera.height, camera.width):
        raise ValueError(f"depth has shape {image.shape}, its camera says {(camera.height, camera.width)}")
    stride = cell_stride(size, patch, side)
    if compat:
        if image.shape != (size, size):
            raise ValueError(
                f"compat takes depth of {size} x {size}, as its estimator gives; got {image.shape}"
            )
        points, valid = _released(image, camera.K, stride), np.ones((size // stride,) * 2, dtype=bool)
    else:
        points, valid = _back_projected(image, camera.resized(size, size), stride)
    if base_from_camera is not None:
        points = base_from_camera.apply(points)
    return PatchPoints(by_patch(np.asarray(points, dtype=np.float32), side), by_patch(valid, side))


def cell_stride(size: int, patch: int, side: int) -> int:
    """Pixels along an edge of a sub-cell.

    Raises:
        ValueError: patches do not fill the image, or cells the patch.
    """
    if side < 1 or size % patch or patch % side:
        raise ValueError(
            f"image of {size} px, patches of {patch} px, {side} cells along an edge: expected each to divide the one "
            f"before; a patch of 14 px has 1, 2, 7 or 14 cells"
        )
    return patch // side


def fill_depth(depth: ArrayLike) -> tuple[Float32, NDArray[np.bool_]]:
    """Depth (H, W) with what was not measured taken from the nearest pixel that was; and which were, (H, W) bool.

    Raises:
        ValueError: no pixel has depth.
    """
    image = np.asarray(depth, dtype=np.float32)
    measured = np.isfinite(image) & (image > 0.0)
    if not measured.any():
        raise ValueError(
            f"no pixel of the depth image {image.shape} is positive and finite; is the sensor covered?"
        )
    if measured.all():
        return image, measured
    nearest = np.asarray(distance_transform_edt(~measured, return_distances=False, return_indices=True))
    return image[nearest[0], nearest[1]], measured


def by_patch(image: NDArray, side: int) -> NDArray:
    """Sub-cell image (rows * side, cols * side, ...) to (rows * cols, side * side, ...), both row-major."""
    rows, cols = image.shape[0] // side, image.shape[1] // side
    split = image.reshape(rows, side, cols, side, *image.shape[2:]).swapaxes(1, 2)
    return split.reshape(rows * cols, side * side, *image.shape[2:])


def released_intrinsics(
    config: Mapping[str, Any], key: str | None = None, size: int = RELEASED_SIZE
) -> NDArray[np.float64]:
    """K (3, 3) of a checkpoint for its square image, from the fields of ``processor_config.json``, scaled as it does.

    Args:
        key: data set, for example ``bridge_orig/1.0.0``. Without, or unknown: ``default``, which the weights were
            trained with whatever the camera was.

    Raises:
        KeyError: the checkpoint has no default either.
    """
    known = config.get("intrinsic_config", {})
    entry = known.get(key) or known.get("default")
    if entry is None:
        raise KeyError(f"no intrinsics for {key!r} and no 'default'; this checkpoint has {sorted(known)}")
    scale = np.array([size / entry["width"], size / entry["height"], 1.0])
    return np.asarray(entry["intrinsic"], dtype=np.float64) * scale[:, None]


def bfloat16(values: ArrayLike) -> Float32:
    """Finite numbers rounded to the nearest bfloat16, ties to even, and kept as float32."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def _back_projected(
    image: Float32, camera: PinholeCamera, stride: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Points (rows, columns, 3) of the cells in the camera's frame, and which had a measured pixel."""
    full, measured = fill_depth(image)
    height, width = full.shape
    # The nearest pixel: interpolating would invent points between an object and what is behind it.
    row = np.minimum(((np.arange(camera.height) + 0.5) * height / camera.height).astype(int), height - 1)
    column = np.minimum(((np.arange(camera.width) + 0.5) * width / camera.width).astype(int), width - 1)
    cells = camera.height // stride, stride, camera.width // stride, stride
    mean = full[row[:, None], column].reshape(cells).astype(np.float64).mean(axis=(1, 3))
    valid = np.asarray(measured[row[:, None], column].reshape(cells).any(axis=(1, 3)))
    middle_v, middle_u = (np.arange(n) * stride + (stride - 1) / 2 for n in mean.shape)
    x = (middle_u - camera.cx) / camera.fx * mean
    y = (middle_v - camera.cy)[:, None] / camera.fy * mean
    return np.stack((x, y, mean), axis=-1), valid


def _released(image: Float32, K: NDArray[np.float64], stride: int) -> Float32:
    """Points (rows, columns, 3) float32 with every rounding of the released code in bfloat16."""
    rows, columns = image.shape[0] // stride, image.shape[1] // stride
    cells = bfloat16(image).reshape(rows, stride, columns, stride).swapaxes(1, 2)
    # One pixel after the other in single precision, as the pooling adds them up.
    total = np.add.accumulate(cells.reshape(rows, columns, -1), axis=-1, dtype=np.float32)[..., -1]
    mean = bfloat16(total / np.float32(stride) / np.float32(stride))
    u, v = (bfloat16(np.arange(n) * stride + stride / 2) for n in (columns, rows))
    inverse = np.linalg.inv(bfloat16(K))
    pixels = np.stack((*np.meshgrid(u, v), np.ones((rows, columns), np.float32)), axis=-1)
    return (pixels @ inverse.T) * mean[..., None]

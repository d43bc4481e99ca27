"""A camera out of ray casts: RGB, metric depth and instance ids with no OpenGL, the same pixels on every machine.

``mj_multiRay`` intersects all pixels' rays in C. Rays have unit length along the optical axis, so what it returns as
distance is depth along that axis. Colour is Lambert shading from an ambient term, a light at the camera and one
directed light. No transparency, no shadows, and no textures but the print of a calibration board.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray
from spatial_vla.geometry import SE3, PinholeCamera

from .calibration_board import GEOM, CalibrationBoard
from .model import VISIBLE_GROUP
from .scene import Lighting

#: Beyond this distance along the optical axis [m] nothing is seen.
FAR = 10.0
BACKGROUND_RGB = (0.72, 0.79, 0.86)


@dataclass(frozen=True, eq=False)
class Frame:
    """One view of the world.

    rgb (H, W, 3) uint8; depth (H, W) float32 metres along the optical axis, 0 where nothing was hit; segmentation
    (H, W) int32 object index, -1 for everything else; intrinsics; world_from_camera of the optical frame.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    segmentation: NDArray[np.int32]
    camera: PinholeCamera
    world_from_camera: SE3


def pinhole(size: int, fovy: float) -> PinholeCamera:
    """Intrinsics of a square image whose vertical field of view is ``fovy`` degrees, pixel centres at integers."""
    focal = size / 2.0 / np.tan(np.deg2rad(fovy) / 2.0)
    centre = (size - 1) / 2.0
    return PinholeCamera(size, size, focal, focal, centre, centre)


def render(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    camera: PinholeCamera,
    world_from_camera: SE3,
    lighting: Lighting,
    object_of_geom: NDArray[np.int32],
    board: CalibrationBoard | None = None,
) -> Frame:
    """Cast one ray per pixel into the visible geoms.

    Args:
        data: positions must be current (``mj_forward`` or ``mj_step`` has run).
        object_of_geom: (ngeom + 1,) instance id of each geom; the last entry is that of the background.
        board: the one that is in the model.
    """
    rays = np.ascontiguousarray(_rays(camera) @ world_from_camera.rotation.T)
    count, eye = len(rays), world_from_camera.translation
    geom, depth, normals = np.empty(count, np.int32), np.empty(count), np.empty(3 * count)
    mujoco.mj_multiRay(model, data, eye, rays.ravel(), _VISIBLE, True, -1, geom, depth, normals, count, FAR)
    shape = (camera.height, camera.width)
    albedo = np.vstack((model.geom_rgba[:, :3], BACKGROUND_RGB)).astype(np.float32)[geom]
    if board is not None:
        seen = (geom == model.geom(GEOM).id).reshape(shape)
        pose = world_from_camera.inverse() @ board.world_from_board(data)
        board.paint(albedo.reshape(*shape, 3), seen, camera, pose)
    rgb = _shade(albedo, geom, normals.reshape(-1, 3), rays, lighting).reshape(*shape, 3)
    depth = np.where(geom >= 0, depth, 0.0).astype(np.float32).reshape(shape)
    return Frame(rgb, depth, object_of_geom[geom].reshape(shape), camera, world_from_camera)


def _shade(
    albedo: NDArray, geom: NDArray[np.int32], normals: NDArray, rays: NDArray, lighting: Lighting
) -> NDArray[np.uint8]:
    """Colours (n, 3) of ray hits with ``albedo`` (n, 3); geom -1 is the background."""
    facing = -np.einsum("ij,ij->i", normals, rays) / _ray_lengths(rays)
    lit = normals @ np.array(lighting.direction)
    light = lighting.ambient + lighting.headlight * facing.clip(0.0) + lighting.directed * lit.clip(0.0)
    light = np.where(geom >= 0, light, 1.0).astype(np.float32)
    return (np.minimum(albedo * light[:, None], 1.0) * 255.0 + 0.5).astype(np.uint8)


def _ray_lengths(rays: NDArray) -> NDArray:
    return np.sqrt(np.einsum("ij,ij->i", rays, rays))


@lru_cache(maxsize=8)
def _rays(camera: PinholeCamera) -> NDArray:
    return camera.rays().reshape(-1, 3)


_VISIBLE = np.zeros(6, np.uint8)
_VISIBLE[VISIBLE_GROUP] = 1

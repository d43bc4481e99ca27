"""The ray camera with textures, point lights and shadows: the colour of a surface is the same from every side.

Colour = albedo * (ambience, more of it from above, + Lambert of each lamp, unless something is in between). Nothing
depends on where the camera is, so corresponding pixels of two views have the same colour up to the texture's filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from spatial_vla.geometry import SE3, PinholeCamera

from ..ray_camera import Frame
from .atlas import Atlas
from .ray_tiles import cast_tiles, tile_order

Array = NDArray[np.float32]
Array64 = NDArray[np.float64]
#: A lamp is hidden if something is nearer to it than the surface by more than this [m].
_SHADOW_BIAS = 0.01
_CYLINDER = int(mujoco.mjtGeom.mjGEOM_CYLINDER)


@dataclass(frozen=True)
class Lamp:
    """A point light: where [m], RGB strength at its feet, and the distance at which that has fallen to a half [m]."""

    position: tuple[float, float, float]
    strength: tuple[float, float, float]
    reach: float
    shadows: bool = True


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Per geom of the model (G of them), and in the last row for the background: look and class.

    picture (G+1,) index in the atlas; repetitions (G+1, 2) per metre, 0 fits a face; offset (G+1, 2); tint (G+1, 3);
    label (G+1,) class index.
    """

    atlas: Atlas
    picture: NDArray[np.int64]
    repetitions: Array
    offset: Array
    tint: Array
    label: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TexturedCamera:
    """Renders one model at rest; ``mj_forward`` must have run."""

    model: mujoco.MjModel
    data: mujoco.MjData
    surfaces: Surfaces
    ambience: tuple[float, float, float]
    lamps: Sequence[Lamp]

    def render(self, camera: PinholeCamera, world_from_camera: SE3) -> Frame:
        """RGB, depth and classes (in ``Frame.segmentation``; 0 where nothing was hit)."""
        order, starts = tile_order(camera.width, camera.height)
        rays = camera.rays().reshape(-1, 3)[order] @ world_from_camera.rotation.T
        length = np.linalg.norm(rays, axis=1)
        rays /= length[:, None]
        eye = world_from_camera.translation
        geom, distance, normals = cast_tiles(self.model, self.data, eye, rays, starts)
        points = eye + rays * distance[:, None]
        slant = np.abs(np.einsum("ij,ij->i", normals, rays))
        pixel = distance / camera.fx / np.sqrt(np.maximum(slant, 0.05))
        albedo = self._albedo(geom, points, normals, pixel)
        rgb = np.minimum(albedo * self._light(points, normals, starts), 1.0) * 255.0 + 0.5
        depth = np.where(geom >= 0, distance / length, 0.0)
        colours, label = rgb.astype(np.uint8), self.surfaces.label[geom]
        shape = (camera.height, camera.width)
        rgb, z, classes = (
            np.empty((*shape, 3), np.uint8),
            np.empty(shape, np.float32),
            np.empty(shape, np.int32),
        )
        rgb.reshape(-1, 3)[order], z.reshape(-1)[order], classes.reshape(-1)[order] = colours, depth, label
        return Frame(rgb, z, classes, camera, world_from_camera)

    def _albedo(self, geom: NDArray, points: Array64, normals: Array64, pixel: Array64) -> Array:
        """Colours (n, 3) of the surfaces themselves; ``pixel`` (n,) is the size of a pixel on the surface [m]."""
        surfaces = self.surfaces
        uv, face = self._unwrapped(geom, points, normals)
        repetitions = surfaces.repetitions[geom]
        fitted = repetitions[:, :1] == 0.0
        scale = np.where(fitted, 0.5 / np.maximum(face, 1e-6), repetitions)
        uv = uv * scale + np.where(fitted, 0.5, surfaces.offset[geom])
        footprint = (pixel * np.maximum(scale[:, 0], scale[:, 1])).astype(np.float32)
        return surfaces.atlas.look_up(surfaces.picture[geom], uv, footprint) * surfaces.tint[geom]

    def _unwrapped(self, geom: NDArray, points: Array64, normals: Array64) -> tuple[Array, Array]:
        """Metres (n, 2) on the surface and half extents (n, 2) of the face: box-wise, and around cylinders.

        On upright faces v points down.
        """
        rotation = self.data.geom_xmat.astype(np.float32)[geom].T
        x, y, z = _turned(rotation, (points - self.data.geom_xpos[geom]).astype(np.float32).T)
        nx, ny, nz = np.abs(_turned(rotation, normals.astype(np.float32).T))
        sx, sy, sz = self.model.geom_size.astype(np.float32)[geom].T
        flat, side = nz >= np.maximum(nx, ny), nx > ny
        u, width = np.where(side & ~flat, y, x), np.where(side & ~flat, sy, sx)
        v, height = np.where(flat, y, -z), np.where(flat, sy, sz)
        around = np.flatnonzero((self.model.geom_type[geom] == _CYLINDER) & ~flat)
        u[around] = np.arctan2(y[around], x[around]) * sx[around]
        width[around], height[around] = np.pi * sx[around], sy[around]
        return np.stack((u, v), axis=1), np.stack((width, height), axis=1)

    def _light(self, points: Array64, normals: Array64, starts: NDArray[np.int64]) -> Array:
        """Light (n, 3) that falls on each point."""
        light = (np.array(self.ambience) * (0.8 + 0.2 * normals[:, 2:])).astype(np.float32)
        for lamp in self.lamps:
            rays = points - np.array(lamp.position)
            distance = np.linalg.norm(rays, axis=1)
            rays /= distance[:, None]
            facing = -np.einsum("ij,ij->i", rays, normals)
            falloff = facing.clip(0.0) / (1.0 + (distance / lamp.reach) ** 2)
            if lamp.shadows:
                _, first, _ = cast_tiles(self.model, self.data, np.array(lamp.position), rays, starts)
                falloff *= (first < 0.0) | (first > distance - _SHADOW_BIAS)
            light += falloff[:, None].astype(np.float32) * np.array(lamp.strength, np.float32)
        return light


def _turned(rotation: Array, vectors: Array) -> Array:
    """``rotation`` (9, n), row-major, transposed and applied to ``vectors`` (3, n)."""
    r, (x, y, z) = rotation, vectors
    return np.stack(
        (r[0] * x + r[3] * y + r[6] * z, r[1] * x + r[4] * y + r[7] * z, r[2] * x + r[5] * y + r[8] * z)
    )

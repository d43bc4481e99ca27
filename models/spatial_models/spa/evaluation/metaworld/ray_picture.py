"""Pictures of a MuJoCo scene out of ray casts, for machines without OpenGL. Runs in Meta-World's environment.

The recipe is that of ``spatial_vla_sim.ray_camera``. Two things differ, because Meta-World pins MuJoCo 3.3, whose
``mj_multiRay`` returns no normals: the normal is taken from the neighbouring hits on the same geom, and a texture
counts as its mean colour. Sites (Meta-World's goal markers) are drawn as spheres, unlit.
"""

from __future__ import annotations

import mujoco
import numpy as np

BACKGROUND = (0.50, 0.495, 0.48)  # Meta-World's sky
FAR = 20.0  # metres
AMBIENT, HEADLIGHT = 0.55, 0.55
VISIBLE = np.array([1, 1, 1, 0, 0, 0], np.uint8)  # MuJoCo's default groups


class RayPicture:
    """Square colour pictures of one camera of a model."""

    def __init__(self, model: mujoco.MjModel, camera: str, size: int) -> None:
        self.model, self.camera, self.size = model, model.camera(camera).id, size
        step = 2.0 * np.tan(np.deg2rad(model.cam_fovy[self.camera]) / 2.0) / size
        across = (np.arange(size) - (size - 1) / 2.0) * step
        u, v = np.meshgrid(across, -across)
        self.rays = np.stack((u, v, np.full_like(u, -1.0)), axis=-1).reshape(-1, 3)
        self.colour = np.vstack((geom_colours(model), BACKGROUND)).astype(np.float32)
        self.sites = np.flatnonzero((model.site_rgba[:, 3] > 0) & (VISIBLE[model.site_group] > 0))

    def __call__(self, data: mujoco.MjData) -> np.ndarray:
        """(size, size, 3) uint8 of the current positions."""
        eye = data.cam_xpos[self.camera]
        rays = np.ascontiguousarray(self.rays @ data.cam_xmat[self.camera].reshape(3, 3).T)
        count = len(rays)
        geom, depth = np.empty(count, np.int32), np.empty(count)
        mujoco.mj_multiRay(self.model, data, eye, rays.ravel(), VISIBLE, 1, -1, geom, depth, count, FAR)
        shape = (self.size, self.size)
        points = (rays * np.where(geom >= 0, depth, FAR)[:, None]).reshape(*shape, 3)
        facing = self._facing(points, geom.reshape(shape)).ravel()
        light = np.where(geom >= 0, AMBIENT + HEADLIGHT * facing, 1.0).astype(np.float32)
        rgb = self.colour[geom] * light[:, None]
        self._draw_sites(rgb, data, eye, rays, np.where(geom >= 0, depth, np.inf))
        return (rgb.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8).reshape(*shape, 3)

    @staticmethod
    def _facing(points: np.ndarray, geom: np.ndarray) -> np.ndarray:
        """|cosine| between the surface normal and the line of sight, (size, size)."""
        normal = np.cross(_slope(points, geom, 1), _slope(points, geom, 0))
        lengths = np.linalg.norm(normal, axis=-1) * np.linalg.norm(points, axis=-1)
        return np.abs((normal * points).sum(-1)) / np.maximum(lengths, 1e-12)

    def _draw_sites(
        self, rgb: np.ndarray, data: mujoco.MjData, eye: np.ndarray, rays: np.ndarray, depth: np.ndarray
    ) -> None:
        square = (rays * rays).sum(-1)
        for site in self.sites:
            to_centre = data.site_xpos[site] - eye
            along = rays @ to_centre / square
            missed_by = ((to_centre - along[:, None] * rays) ** 2).sum(-1)
            seen = (missed_by < self.model.site_size[site, 0] ** 2) & (along > 0) & (along < depth)
            rgb[seen] = self.model.site_rgba[site, :3]


def _slope(points: np.ndarray, geom: np.ndarray, axis: int) -> np.ndarray:
    """Difference to the neighbour along an image axis: the one on the same geom, the nearer one if both are."""
    ahead = np.roll(points, -1, axis) - points
    behind = points - np.roll(points, 1, axis)
    far_ahead = np.where(np.roll(geom, -1, axis) == geom, np.linalg.norm(ahead, axis=-1), np.inf)
    far_behind = np.where(np.roll(geom, 1, axis) == geom, np.linalg.norm(behind, axis=-1), np.inf)
    return np.where((far_ahead <= far_behind)[..., None], ahead, behind)


def geom_colours(model: mujoco.MjModel) -> np.ndarray:
    """(ngeom, 3): the geom's own colour, or its material's times the mean of the texture."""
    colours = model.geom_rgba[:, :3].copy()
    for geom, material in enumerate(model.geom_matid):
        if material >= 0:
            colours[geom] = model.mat_rgba[material, :3]
            texture = model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB]
            if texture >= 0:
                colours[geom] *= _mean_colour(model, texture)
    return colours


def _mean_colour(model: mujoco.MjModel, texture: int) -> np.ndarray:
    channels = model.tex_nchannel[texture]
    start = model.tex_adr[texture]
    count = model.tex_width[texture] * model.tex_height[texture] * channels
    return model.tex_data[start : start + count].reshape(-1, channels)[:, :3].mean(axis=0) / 255.0

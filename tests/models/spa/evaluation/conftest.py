"""A made-up scene whose colours are positions, encoders to look at it with, and a tiny checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from spatial_models.spa import SpaEncoder
from spatial_models.spa.evaluation.posed_view import PosedView
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.posed_rgbd import PosedFrame, PosedScene, encode_depth, write_image, write_scene

CAMERA = PinholeCamera(96, 96, 100.0, 100.0, 47.5, 47.5)
BALL, RADIUS = np.array([0.05, 0.0, -0.25]), 0.12
BOX_LOW, BOX_SIZE = np.array([-1.2, -1.2, -0.6]), 2.4


def looking_at_the_origin(azimuth: float, elevation: float = 0.0, distance: float = 1.4) -> SE3:
    """camera_from_world of a camera on a sphere around the origin, before the wall z = 0; angles in degrees."""
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    eye = distance * np.array([np.sin(a) * np.cos(e), np.sin(e), -np.cos(a) * np.cos(e)])
    forward = -eye / np.linalg.norm(eye)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    rotation = np.stack((right, np.cross(forward, right), forward))
    return SE3(rotation, -rotation @ eye)


def photograph(pose: SE3, scene: str = "made up") -> PosedView:
    """A wall z = 0 with a ball before it; red, green and blue are the position of what is seen."""
    world = pose.inverse()
    rays = CAMERA.rays() @ world.rotation.T
    eye = world.translation
    depth = -eye[2] / rays[..., 2]
    b, square = rays @ (eye - BALL), (rays**2).sum(-1)
    root = b**2 - square * ((eye - BALL) @ (eye - BALL) - RADIUS**2)
    on_ball = root > 0
    depth = np.where(on_ball, (-b - np.sqrt(np.maximum(root, 0))) / square, depth)
    points = eye + rays * depth[..., None]
    image = ((points - BOX_LOW) / BOX_SIZE * 255.0).clip(0, 255).round().astype(np.uint8)
    return PosedView(scene, image, pose, depth.astype(np.float32), CAMERA)


class PositionEncoder:
    """Reads the position off the colour: patches of 4 pixels, waves of a few lengths. An ideal encoder."""

    image_size = 96

    def __call__(self, image: torch.Tensor, feature_map: bool = False, cat_cls: bool = True) -> torch.Tensor:
        assert image.max() <= 1.0 and image.min() >= 0.0
        cells = torch.nn.functional.avg_pool2d(image, 4) * BOX_SIZE
        waves = torch.cat(
            [f(cells * k) for k in (3.0, 7.0, 13.0, 25.0) for f in (torch.sin, torch.cos)], dim=1
        )
        return waves if feature_map else waves.mean(dim=(2, 3))


class NoiseEncoder:
    """Features that know nothing of the picture."""

    image_size = 96

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, image: torch.Tensor, feature_map: bool = False, cat_cls: bool = True) -> torch.Tensor:
        shape = (len(image), 24, 24, 24) if feature_map else (len(image), 24)
        return torch.randn(shape, generator=self.generator)


@pytest.fixture(scope="session")
def orbit() -> list[PosedView]:
    """Views of one scene from several sides."""
    return [photograph(looking_at_the_origin(a, e)) for a in (-40, -20, 0, 20, 40) for e in (-10, 12)]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of one block with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "tiny.safetensors"
    save_file(SpaEncoder(224, 16, 64, 1, 1).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Posed RGB-D folders: three scenes to train with, two to test with."""
    root = tmp_path_factory.mktemp("rooms")
    for number in range(5):
        frames = []
        for index, azimuth in enumerate((-30 + number, -5, 18, 35 - number)):
            view = photograph(looking_at_the_origin(azimuth, 3 * number))
            names = (f"color/{index}.png", f"depth/{index}.png")
            write_image(root / f"scene-{number}" / names[0], view.image)
            write_image(root / f"scene-{number}" / names[1], encode_depth(view.depth, 0.0002))
            frames.append(PosedFrame(*names, CAMERA, view.camera_from_world.inverse().matrix()))
        split = "train" if number < 3 else "val"
        write_scene(PosedScene(root / f"scene-{number}", tuple(frames), 0.0002, split))
    return root

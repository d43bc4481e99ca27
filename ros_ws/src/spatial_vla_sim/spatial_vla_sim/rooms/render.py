"""Render scenes into posed RGB-D folders: ``spatial-vla-render-rooms --out rooms --scenes 60 --views 24``.

A scene is written aside and renamed when it is complete, so an interrupted run goes on where it stopped, and several
processes can share the work by ``--first``.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.progress import track
from spatial_vla.posed_rgbd import PosedFrame, PosedScene, encode_depth, write_image, write_scene

from .build import photo_scene
from .parts import CLASSES

#: Metres per unit of the stored depth: fine enough for correspondences to a millimetre, and it reaches 13 m.
DEPTH_SCALE = 0.0002


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise ValueError(f"size {text!r}; expected WIDTHxHEIGHT, e.g. 320x240") from error
    if min(width, height) < 16:
        raise ValueError(f"size {text!r} is too small; expected at least 16x16")
    return width, height


@dataclass
class RenderArgs:
    """Render rooms and table-tops with MuJoCo's ray casts as posed RGB-D scenes; no GPU and no OpenGL needed."""

    out: Path
    """folder of the collection; complete scenes in it are kept and skipped"""
    scenes: int = 60
    """number of scenes"""
    views: int = 24
    """views per scene, along one camera trajectory"""
    size: Annotated[str, tyro.conf.arg(metavar="WxH")] = "320x240"
    """picture size in pixels"""
    first: int = 0
    """number of the first scene, to split the work among processes"""
    seed: int = 0
    """seed of the collection: the same seed and number give the same scene"""
    val_every: int = 10
    """every how many scenes one belongs to the validation split; 0 for none"""


def render_scene(folder: Path, number: int, args: RenderArgs) -> None:
    """Render one scene into ``folder``."""
    scene = photo_scene(args.seed, number, args.views, *_size(args.size))
    frames = []
    for index, pose in enumerate(scene.poses):
        frame = scene.renderer.render(scene.camera, pose)
        name = f"{index:05d}.png"
        write_image(folder / "color" / name, frame.rgb)
        write_image(folder / "depth" / name, encode_depth(frame.depth, DEPTH_SCALE))
        write_image(folder / "segmentation" / name, frame.segmentation.astype("uint8"))
        paths = (f"color/{name}", f"depth/{name}")
        frames.append(PosedFrame(*paths, scene.camera, pose.matrix(), f"segmentation/{name}"))
    held_out = args.val_every > 0 and number % args.val_every == args.val_every - 1
    write_scene(PosedScene(folder, tuple(frames), DEPTH_SCALE, "val" if held_out else "train", CLASSES))


def render_rooms(args: RenderArgs) -> None:
    """Render the scenes that are not there yet.

    Raises:
        ValueError: if the size or a count makes no sense.
    """
    _size(args.size)
    if args.views < 1 or args.scenes < 1:
        raise ValueError(f"{args.scenes} scenes of {args.views} views: expected at least 1 of each")
    for number in track(range(args.first, args.first + args.scenes), description="rendering"):
        target = args.out / f"scene-{number:05d}"
        if target.exists():
            continue
        aside = target.with_suffix(".partial")
        shutil.rmtree(aside, ignore_errors=True)
        render_scene(aside, number, args)
        aside.rename(target)


def main() -> None:
    """Command line of the renderer."""
    render_rooms(tyro.cli(RenderArgs))


if __name__ == "__main__":
    main()

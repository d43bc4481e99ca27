"""Looking at a run of ``generate``: ``python -m spatial_vla.spatial.viewer --run qa --out page.html [--rerun qa.rrd]``.

The page needs no other file and no network: pictures with boxes, free points, places and axes, and their questions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from .annotate import Record
from .overlay import AXES, REJECTED, SIDES, RecordView, drawn
from .questions import QuestionLimits, questions
from .writers import IMAGE_FOLDER

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0;background:#f6f6f4;color:#1c1c1c}
main{max-width:1180px;margin:auto;padding:1.5rem}
section{display:flex;flex-wrap:wrap;gap:1.2rem;margin:1.2rem 0;background:#fff;padding:1rem;border-radius:8px}
img{max-width:640px;width:100%;align-self:flex-start;border-radius:4px}
ol{flex:1;min-width:320px;margin:0;padding-left:1.4rem;max-height:480px;overflow:auto}
li{margin-bottom:.35rem} b{color:#0a5c36} b.no{color:#9c1c1c} h2{width:100%;font-size:1rem;margin:0}
i{font-style:normal;padding:0 .5em;border-radius:3px;color:#fff;margin-right:.5em} small{color:#666}
"""


@dataclass
class ViewerArgs:
    """Make a page, and maybe a Rerun recording, of a run's first pictures."""

    run: Path
    """folder that generate wrote, in the default mode"""
    out: Path
    """HTML file"""
    pictures: int = 12
    """how many"""
    questions: int = 24
    """questions shown of each picture at most"""
    images: Path | None = None
    """folder that the pictures' names are relative to; the run's own unless told"""
    rerun: Path | None = None
    """Rerun recording (.rrd) to write beside the page"""


def read_records(run: Path, most: int) -> Iterator[Record]:
    """The first records of a run.

    Raises:
        ValueError: if they are of the published mode, which has another layout.
    """
    with (run / "annotations.jsonl").open(encoding="utf-8") as file:
        for line in islice(file, most):
            record = json.loads(line)
            if record["mode"] != "default":
                raise ValueError(f"{run} was made with mode {record['mode']!r}; expected default")
            yield record


def read_picture(folder: Path, record: Record) -> NDArray[np.uint8]:
    """Its picture, RGB; a grey one of the same size where there is none."""
    data = cv2.imread(str(folder / record["image"]))
    if data is None:
        width, height = record["image_size"]
        return np.full((height, width, 3), 90, np.uint8)
    return cv2.cvtColor(data, cv2.COLOR_BGR2RGB).astype(np.uint8)


def page(records: list[Record], images: Path, most: int) -> str:
    """The whole page."""
    sides = "".join(f'<i style="background:rgb{colour}">{name}</i>' for name, colour in SIDES.items())
    axes = "".join(f'<i style="background:rgb{c}">{n}</i>' for n, c in zip("xyz", AXES, strict=True))
    legend = (
        f"<p>Free points, by their side of the thing that was asked about, seen from the camera: {sides} "
        "Small red rings: places that were tried and are taken or hidden (generate --rejected 20). "
        f"Crosses: places where a thing would fit. Axes of the world: {axes} Red arrows at things: their fronts.</p>"
    )
    body = "\n".join(_section(record, images, most) for record in records)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Spatial questions</title>'
        f"<style>{_STYLE}</style></head>\n<body><main><h1>Spatial questions</h1>{legend}\n"
        f"{body}\n</main></body></html>\n"
    )


def _section(record: Record, images: Path, most: int) -> str:
    picture = cv2.cvtColor(drawn(record, read_picture(images, record)), cv2.COLOR_RGB2BGR)
    data = base64.b64encode(cv2.imencode(".jpg", picture)[1].tobytes()).decode()
    rows = "".join(_row(qa) for qa in questions(record, limits=QuestionLimits(per_image=most)))
    title = escape(f"{record['dataset']} / {record['scene']} / {record['image']}")
    return f'<section><h2>{title}</h2><img src="data:image/jpeg;base64,{data}" alt="{title}"><ol>{rows}</ol></section>'


def _row(qa: dict[str, Any]) -> str:
    answer = qa["answer"] if len(qa["answer"]) < 90 else qa["answer"][:87] + "..."
    style = ' class="no"' if answer == "No" else ""
    kind = escape(" / ".join(filter(None, (qa["family"], qa["relation"], qa["frame"]))))
    return f"<li>{escape(qa['question'])} <b{style}>{escape(answer)}</b> <small>{kind}</small></li>"


def write_rerun(records: list[Record], images: Path, path: Path) -> None:
    """A Rerun recording: per picture a step of the time line, with camera, boxes, free points, places and axes.

    Raises:
        ModuleNotFoundError: if rerun-sdk is not installed, with the command that installs it.
    """
    try:
        import rerun as rr
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a Rerun recording needs rerun-sdk: pip install 'spatial_vla[rerun]'"
        ) from error
    stream = rr.RecordingStream("spatial_vla spatial questions")
    stream.save(str(path))
    stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    for number, record in enumerate(records):
        view = RecordView(record)
        stream.set_time("picture", sequence=number)
        pose = view.world_from_camera
        stream.log("world/camera", rr.Transform3D(translation=pose.translation, mat3x3=pose.rotation))
        size = [view.camera.width, view.camera.height]
        stream.log("world/camera", rr.Pinhole(image_from_camera=view.camera.K, resolution=size))
        stream.log("world/camera/picture", rr.Image(read_picture(images, record)))
        turns = [rr.Quaternion(xyzw=q) for q in view.boxes.quaternions()]
        names = [item["name"] for item in record["objects"]]
        boxes = rr.Boxes3D(
            centers=view.boxes.centre, half_sizes=view.boxes.half, quaternions=turns, labels=names
        )
        stream.log("world/boxes", boxes)
        sides = view.sides()
        points = np.concatenate([p for p, _ in sides]) if sides else np.zeros((0, 3))
        colours = [SIDES.get(side, (150, 150, 150)) for p, side in sides for _ in p]
        stream.log("world/free", rr.Points3D(points, colors=colours, radii=0.004))
        stream.log("world/rejected", rr.Points3D(view.rejected(), colors=[REJECTED], radii=0.002))
        stream.log("world/places", rr.Points3D(view.places(), colors=[(255, 215, 0)], radii=0.006))
        starts, ends, shades = zip(*view.arrows(), strict=True) if len(names) else ((), (), ())
        arrows = rr.Arrows3D(
            origins=np.reshape(starts, (-1, 3)),
            vectors=np.reshape(ends, (-1, 3)) - np.reshape(starts, (-1, 3)),
            colors=shades,
        )
        stream.log("world/axes", arrows)
    stream.flush()


def main(args: ViewerArgs) -> None:
    """Write what was asked for."""
    records = list(read_records(args.run, args.pictures))
    images = args.images or args.run / IMAGE_FOLDER
    args.out.write_text(page(records, images, args.questions), encoding="utf-8")
    if args.rerun is not None:
        write_rerun(records, images, args.rerun)


if __name__ == "__main__":
    main(tyro.cli(ViewerArgs))

"""The report as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatial_vla.viz.colours import PAPER, PLAN, RGB, TARGET

from .chart import histogram
from .run import Episode, Run

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Figure:
    """A picture (height, width, 3) RGB and what is written below it."""

    image: Image
    caption: str


def page(run: Run, video: Path | None, features: Sequence[Figure], frames: Sequence[Figure]) -> str:
    """The whole page.

    Args:
        video: MP4 or WebM, embedded; None leaves it out.
        features: pictures of what the encoder sees. frames: key frames of the run.
    """
    sections = [_tiles(run), _outcomes(run, video), _latency(run)]
    if features:
        note = "Three principal components of the feature map as red, green and blue: equal colour, similar features."
        sections.append(_strip("What the encoder sees", features, note))
    if frames:
        sections.append(_strip("Key frames", frames, _legend()))
    sections.append(_made_with(run))
    style = resources.files(__package__ or "").joinpath("style.css").read_text(encoding="utf-8")
    started, device = escape(run.summary["started"]), run.summary["device"]
    machine = escape(f"{device['processor']}, {device['cores']} cores")
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>spatial_vla run, {started}</title>\n<style>\n{style}</style></head>\n<body><main>",
            f"<header><h1>spatial_vla run</h1><p>{started}<br>{machine}</p></header>",
            *sections,
            f"<footer>{_files(run, video)}</footer></main></body></html>\n",
        )
    )


def _tiles(run: Run) -> str:
    judged = [e for e in run.episodes if e.success is not None]
    tiles = []
    if judged:
        succeeded = sum(bool(e.success) for e in judged)
        tiles.append((f"{succeeded} <small>of {len(judged)}</small>", "instructions succeeded"))
    else:
        tiles.append((str(len(run.episodes)), "instructions, not judged"))
    whole = np.array(run.latency.image_to_command)
    for name, q in (("median", 50), ("p99", 99)):
        value = f"{np.percentile(whole, q):.0f} <small>ms</small>" if len(whole) else "–"
        tiles.append((value, f"image to command, {name}"))
    tiles.append((str(sum(e.chunks for e in run.episodes)), "action chunks"))
    return _section("".join(f'<div class="tile"><b>{b}</b><span>{s}</span></div>' for b, s in tiles), "tiles")


def _outcomes(run: Run, video: Path | None) -> str:
    heads = ("", "Instruction", "Outcome", "*Distance", "*Time", "*Chunks")
    table = _table(heads, [_episode(i, e) for i, e in enumerate(run.episodes, 1)])
    if video is None:
        return _section(f'<h2>Outcome</h2><div class="table">{table}</div>')
    kind = {".mp4": "video/mp4", ".webm": "video/webm"}[video.suffix]
    player = f'<video controls autoplay muted loop playsinline src="{_data_uri(video.read_bytes(), kind)}"></video>'
    legend = f'<p class="note">{_legend()}</p>'
    return _section(
        f'<div class="pair"><div><h2>External camera</h2>{player}{legend}</div>'
        f'<div class="table"><h2>Outcome</h2>{table}</div></div>'
    )


def _episode(number: int, episode: Episode) -> tuple[str, ...]:
    if episode.success is None:
        badge = '<span class="badge unjudged">not judged</span>'
    elif episode.success:
        badge = '<span class="badge success">success</span>'
    else:
        badge = f'<span class="badge failure">{escape(episode.failure.replace("_", " ") or "failed")}</span>'
    distance = "–" if math.isnan(episode.distance) else f"{episode.distance * 100:.1f} cm"
    return (
        str(number),
        escape(episode.text),
        badge,
        distance,
        f"{episode.seconds:.1f} s",
        str(episode.chunks),
    )


def _latency(run: Run) -> str:
    stages = {name: samples for name, samples in run.latency.stages().items() if len(samples)}
    if not stages:
        return _section('<h2>Latency</h2><p class="note">No action chunk was recorded.</p>')
    rows = []
    for name, samples in stages.items():
        numbers = [f"{value:.1f}" for value in (*np.percentile(samples, (50, 90, 99)), samples.max())]
        rows.append((escape(name), *numbers, str(len(samples))))
    table = _table(("Stage [ms]", "*Median", "*p90", "*p99", "*Max", "*n"), rows)
    name, samples = list(stages.items())[-1]
    marks = {"median": float(np.median(samples)), "p99": float(np.percentile(samples, 99))}
    chart = histogram(samples, f"{name} [ms]", marks)
    return _section(
        f'<div class="pair"><div><h2>Latency</h2>{chart}</div><div class="table"><h2>Stages</h2>{table}</div></div>'
    )


def _strip(title: str, figures: Sequence[Figure], note: str) -> str:
    body = "".join(
        f'<figure><img src="{_data_uri(_jpeg(f.image), "image/jpeg")}" alt="{escape(f.caption)}">'
        f"<figcaption>{escape(f.caption)}</figcaption></figure>"
        for f in figures
    )
    return _section(f'<h2>{escape(title)}</h2><div class="strip">{body}</div><p class="note">{note}</p>')


def _made_with(run: Run) -> str:
    columns = (("Device", run.summary["device"]), ("Versions", run.summary["versions"]))
    body = "".join(
        f"<div><h2>{title}</h2><dl>"
        + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in entries.items())
        + "</dl></div>"
        for title, entries in columns
    )
    return _section(f'<div class="pair">{body}</div>')


def _files(run: Run, video: Path | None) -> str:
    names = [f"{run.bag.name}/{run.bag.name}.mcap", "run.json", *([video.name] if video else [])]
    links = ", ".join(f'<a href="{n}"><code>{n}</code></a>' for n in names)
    return f"Beside this page: {links}. Foxglove opens the .mcap, <code>ros2 bag play</code> its folder."


def _legend() -> str:
    entries: tuple[tuple[RGB, str], ...] = (
        (PAPER, "tool at the observation"),
        (PLAN, "decoded trajectory"),
        (TARGET, "where the policy sees the named object"),
    )
    return "".join(
        f'<span class="legend" style="background:rgb{colour};box-shadow:0 0 0 1px #0006"></span>{text}'
        for colour, text in entries
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a head that starts with * aligns its column right."""
    kinds = ["number" if h.startswith("*") else "text" for h in heads]
    head = "".join(f'<th class="{k}">{escape(h.lstrip("*"))}</th>' for k, h in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{k}">{c}</td>' for k, c in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _section(body: str, kind: str = "") -> str:
    return f'<section class="{kind}">{body}</section>' if kind else f"<section>{body}</section>"


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {image.shape}")
    return data.tobytes()


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

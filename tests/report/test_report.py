"""The report tells what is in the bag, in one page that needs nothing else."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from spatial_vla.report import read_run, write_report
from spatial_vla.report import video as video_module
from spatial_vla.report.chart import histogram
from spatial_vla.report.film import film
from spatial_vla.report.video import write_video
from spatial_vla.viz.colours import PLAN, TARGET


@pytest.fixture(scope="module")
def reported(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reported") / "run"
    shutil.copytree(recorded, directory)
    write_report(directory)
    return directory


def test_episodes_carry_the_verdict_of_the_referee(recorded: Path):
    reached, missed = read_run(recorded).episodes
    assert (reached.success, reached.failure, reached.chunks) == (True, "", 25)
    assert (missed.success, missed.failure) == (False, "missed")
    assert reached.distance < 0.02 < 0.1 < missed.distance
    assert reached.seconds == pytest.approx(2.5)


def test_latency_has_one_sample_per_chunk_however_often_a_status_repeats(recorded: Path):
    stages = read_run(recorded).latency.stages()
    assert [len(samples) for samples in stages.values()] == [50] * 4
    parts = sum(np.median(samples) for name, samples in stages.items() if "→" not in name)
    assert np.median(stages["Image stamp → joint command"]) >= parts


def test_film_draws_plan_and_target_while_an_episode_runs(recorded: Path):
    frames = list(film(read_run(recorded)))
    assert len(frames) == 50 and frames[0].image.shape == (672, 672, 3)
    middle = frames[10].image.reshape(-1, 3)
    for colour in (PLAN, TARGET):
        assert (middle == colour).all(axis=1).sum() > 20


class Outside(HTMLParser):
    """Collects every address that a browser would load by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "poster") and tag != "a"]


def test_page_loads_nothing_from_outside(reported: Path):
    text = (reported / "report.html").read_text(encoding="utf-8")
    page = Outside()
    page.feed(text)
    assert {"video", "svg", "table", "img"} <= set(page.tags)
    assert page.addresses and all(a.startswith("data:") for a in page.addresses)
    assert not re.search(r"@import|url\(|<script|<link", text)


def test_page_states_outcomes_latency_versions_and_device(reported: Path):
    text = (reported / "report.html").read_text(encoding="utf-8")
    run = read_run(reported)
    for episode in run.episodes:
        assert episode.text in text
    for word in (
        "success",
        "missed",
        "Image stamp → joint command",
        "ROS overhead",
        "Three principal components",
    ):
        assert word in text
    for value in (*run.summary["versions"].values(), *run.summary["device"].values()):
        assert value in text


def test_text_from_the_bag_cannot_break_the_page(reported: Path, tmp_path: Path):
    shutil.copytree(reported / "bag", tmp_path / "bag")
    summary = json.loads((reported / "run.json").read_text())
    summary["versions"]["<b>x"] = '"&'
    (tmp_path / "run.json").write_text(json.dumps(summary))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<b>x" not in text and "&lt;b&gt;x" in text


def test_a_directory_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no run\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize("ffmpeg", [True, False])
def test_video_holds_every_frame_in_its_colours(tmp_path: Path, monkeypatch, ffmpeg: bool):
    if ffmpeg and video_module.find_ffmpeg() is None:
        pytest.skip("no ffmpeg program here")
    if not ffmpeg:
        monkeypatch.setattr(video_module, "find_ffmpeg", lambda: None)
    colours = [(200, 30, 30), (30, 160, 60), (40, 60, 210)]
    frames = [np.full((64, 96, 3), c, np.uint8) for c in colours for _ in range(5)]
    path = write_video(tmp_path / "clip", iter(frames), 10.0)
    assert path is not None and path.suffix == (".mp4" if ffmpeg else ".webm")
    capture = cv2.VideoCapture(str(path))
    seen = []
    while (got := capture.read())[0]:
        seen.append(got[1][32, 48, ::-1].astype(int))
    assert len(seen) == len(frames)
    for index, colour in zip((2, 7, 12), colours, strict=True):
        assert np.abs(seen[index] - colour).max() < 25


def test_no_frames_give_no_video(tmp_path: Path):
    assert write_video(tmp_path / "clip", iter(()), 10.0) is None
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_is_an_error_with_its_words(tmp_path: Path):
    if video_module.find_ffmpeg() is None:
        pytest.skip("no ffmpeg program here")
    with pytest.raises(RuntimeError, match="could not write"):
        write_video(tmp_path / "missing" / "clip", iter([np.zeros((64, 64, 3), np.uint8)] * 3), 10.0)


@pytest.mark.parametrize("samples", [[5.0], [3.0] * 9, [0.1, 0.2, 400.0], list(np.linspace(10, 60, 500))])
def test_histogram_bars_hold_every_sample(samples):
    svg = histogram(np.array(samples), "time [ms]", {"median": float(np.median(samples))})
    counts = [int(n) for n in re.findall(r"<title>.*?: (\d+)</title>", svg)]
    assert sum(counts) == len(samples)
    assert "nan" not in svg and "time [ms]" in svg

"""The page and the recording show what the records say."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from spatial_vla.spatial.annotate import AnnotationOptions, annotate
from spatial_vla.spatial.overlay import RecordView, drawn
from spatial_vla.spatial.viewer import ViewerArgs, main
from spatial_vla.spatial.visibility import visible
from spatial_vla_sim.spatial_scenes import SimulatedTables

TABLES = SimulatedTables(things=5, width=160, height=120)


@pytest.fixture(name="run")
def _run(tmp_path):
    lines = [json.dumps(annotate(TABLES.scene(index))) for index in range(2)]
    (tmp_path / "annotations.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_points_are_drawn_where_the_picture_shows_them():
    record = annotate(TABLES.scene(1))
    view = RecordView(record)
    for row in record["context"]:
        np.testing.assert_allclose(view.pixels(np.array(row["points"])), row["pixels"], atol=1e-9)
    black = np.zeros((120, 160, 3), np.uint8)
    image = drawn(record, black, scale=2)
    assert image.shape == (240, 320, 3) and image.any()
    # Every free point of a direction is painted over with something.
    points = np.concatenate([points for points, _ in view.sides()])
    u, v = np.rint((view.pixels(points) + 0.5) * 2 - 0.5).astype(int).T
    assert (image[v.clip(0, 239), u.clip(0, 319)].max(axis=1) > 0).all()


def test_places_tried_in_vain_are_drawn_and_are_not_free():
    scene = TABLES.scene(1)
    view = RecordView(annotate(scene, options=AnnotationOptions(rejected=20)))
    plain = RecordView(annotate(scene))
    assert 0 < len(view.rejected()) <= 20 * len(scene.objects) and not len(plain.rejected())
    free = np.concatenate([points for points, _ in view.sides()])
    assert np.abs(view.rejected()[:, None] - free).max(axis=-1).min() > 0.0
    # Each is too near to a thing or the edge, or hidden, or out of the picture; or on top of a thing.
    gap = scene.boxes.footprints.distance(view.rejected()[:, :2]).min(axis=1)
    _, seen = visible(scene, view.rejected(), 0.001)
    edge = scene.surfaces[0].margin(view.rejected()[:, :2])
    on_table = view.rejected()[:, 2] == 0.0
    assert ((gap < 0.01) | (edge < 0.01) | ~seen | ~on_table).all()
    black = np.zeros((120, 160, 3), np.uint8)
    assert (drawn(view.record, black) != drawn(plain.record, black)).any()


def test_a_page_shows_pictures_and_questions(run):
    main(ViewerArgs(run, run / "page.html", questions=10))
    text = (run / "page.html").read_text()
    assert text.count("<section>") == 2 and text.count("data:image/jpeg;base64,") == 2
    assert 10 <= text.count("<li>") <= 20
    assert "http://" not in text and "https://" not in text


@pytest.mark.skipif(importlib.util.find_spec("rerun") is None, reason="rerun-sdk is not installed")
def test_a_recording_is_written(run):
    main(ViewerArgs(run, run / "page.html", rerun=run / "run.rrd"))
    assert (run / "run.rrd").stat().st_size > 10_000

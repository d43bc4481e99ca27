"""Questions: balanced, capped, repeatable, true to their record; the published rules; files."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest
from spatial_vla.geometry import SE3
from spatial_vla.spatial import judge
from spatial_vla.spatial.annotate import annotate
from spatial_vla.spatial.example_json import read_example, write_example
from spatial_vla.spatial.generate import GenerateArgs, main
from spatial_vla.spatial.published import (
    configuration,
    published_annotation,
    published_questions,
    silhouettes,
)
from spatial_vla.spatial.questions import QuestionLimits, questions
from spatial_vla.spatial.sources import open_source
from spatial_vla_sim.spatial_scenes import SimulatedTables

TABLES = SimulatedTables(things=8)


@pytest.fixture(scope="module")
def records():
    return [annotate(TABLES.scene(i)) for i in range(6)]


def test_records_are_json_and_repeatable(records):
    again = annotate(TABLES.scene(0))
    assert json.dumps(again) == json.dumps(records[0])
    assert "NaN" not in json.dumps(records)


def test_every_kind_has_as_many_yes_as_no(records):
    answers = Counter()
    for record in records:
        for qa in questions(record):
            if qa["answer"] in ("Yes", "No"):
                answers[qa["family"], qa["relation"], qa["frame"], qa["answer"]] += 1
    kinds = {key[:3] for key in answers}
    assert len(kinds) > 15
    assert all(answers[(*kind, "Yes")] == answers[(*kind, "No")] for kind in kinds)


def test_limits_hold(records):
    limits = QuestionLimits(per_image=20, per_relation=2, per_family=8)
    for record in records:
        found = questions(record, limits=limits)
        assert 0 < len(found) <= 20
        assert max(Counter(qa["family"] for qa in found).values()) <= 8
        kinds = Counter((q["family"], q["relation"], q["frame"]) for q in found if q["relation"])
        assert max(kinds.values()) <= 2


def test_answers_are_those_of_the_geometry():
    checked = 0
    for seed in range(3):
        scene = TABLES.scene(seed)
        record = annotate(scene)
        names = [item["name"] for item in record["objects"]]
        for qa in questions(record):
            if qa["family"] != "configuration":
                continue
            subject, reference, *other = (names[i] for i in qa["objects"])
            frame = "world" if qa["frame"] == "any" else qa["frame"]
            third = other[0] if other else None
            answer = judge(scene, subject, qa["relation"], reference, frame, third)
            assert answer.verdict.value == qa["answer"].lower(), qa
            checked += 1
    assert checked > 40


def test_sentences_are_complete(records):
    seen = set()
    for record in records:
        for qa in questions(record):
            text = qa["question"]
            assert text[0].isupper() and "{" not in text and "  " not in text and " ?" not in text
            assert "the the" not in text
            seen.add(re.sub(r"the (red|green|blue|yellow|purple|orange) \w+", "X", text))
    assert len(seen) > 60


def test_points_in_answers_are_the_pixels_of_their_points(records):
    for record in records:
        camera = np.array(record["camera"]["intrinsic"])
        pose = SE3.from_matrix(record["camera"]["world_from_camera"]).inverse()
        for qa in questions(record):
            if "points" not in qa:
                continue
            at = pose.apply(qa["points"])
            pixels = (at @ camera.T)[:, :2] / at[:, 2:]
            np.testing.assert_allclose(pixels, qa["pixels"], atol=1e-6)
            written = np.array(re.findall(r"\(([\d.]+), ([\d.]+)\)", qa["answer"]), float)
            np.testing.assert_allclose(written, (pixels + 0.5) / record["image_size"], atol=6e-4)


def test_a_scene_survives_its_file(tmp_path):
    scene = TABLES.scene(1)
    write_example(scene, tmp_path / "a" / "one.json")
    again = read_example(tmp_path / "a" / "one.json")
    assert [item.name for item in again.objects] == [item.name for item in scene.objects]
    np.testing.assert_allclose(again.boxes.corners, scene.boxes.corners, atol=1e-9)
    one, two = annotate(scene), annotate(again)
    assert one["relations"].keys() == two["relations"].keys()
    for key in one["relations"]:
        assert one["relations"][key]["verdict"] == two["relations"][key]["verdict"]


def test_a_file_that_is_none_says_what_is_missing(tmp_path):
    (tmp_path / "x.json").write_text('{"dataset": "d"}')
    with pytest.raises(ValueError, match=r"x\.json is not an example annotation.*camera_annotations"):
        open_source("example", str(tmp_path)).scene(0)
    with pytest.raises(ValueError, match="expected one of example, embodiedscan, bop, bag, mujoco"):
        open_source("nowhere", "")


@pytest.mark.parametrize("mode", ["default", "published"])
def test_one_command_makes_files(tmp_path, mode):
    args = GenerateArgs(tmp_path, location="things=5,count=3,width=160,height=120", mode=mode, validation=0.4)
    report = main(args)
    lines = [json.loads(line) for s in ("train", "validation") for line in (tmp_path / f"{s}.jsonl").open()]
    chats = [
        c for s in ("train", "validation") for c in json.loads((tmp_path / f"{s}.llava.json").read_text())
    ]
    assert len(lines) == len(chats) == report["train"]["questions"] + report["validation"]["questions"] > 30
    assert all(c["conversations"][0]["value"].startswith("<image>\n") for c in chats)
    scenes = [
        {row["scene"] for row in map(json.loads, (tmp_path / f"{s}.jsonl").open())}
        for s in ("train", "validation")
    ]
    assert not scenes[0] & scenes[1]
    assert len(list((tmp_path / "images").glob("*.png"))) == 3
    again = tmp_path / "again"
    main(GenerateArgs(again, location=args.location, mode=mode, validation=0.4, pictures=False))
    assert (again / "train.jsonl").read_bytes() == (tmp_path / "train.jsonl").read_bytes()


def test_parquet_is_read_back(tmp_path, records):
    parquet = pytest.importorskip("pyarrow.parquet")
    from spatial_vla.spatial.writers import write_parquet

    rows = questions(records[0])
    write_parquet(rows, tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["question"] for row in table] == [row["question"] for row in rows]


def test_published_mode_keeps_the_released_rules():
    scene = TABLES.scene(2)
    record = published_annotation(scene)
    pairs = record["spatial_relationships"]["pairwise_relations"]
    assert len(pairs) == 8 * 7
    for pair in pairs:
        frames = pair["spatial_configuration"]
        assert set(frames) == {"camera_centric", "world_centric", "object_centric"}
        for side in ("left", "right", "infront", "behind", "above", "below"):
            assert frames["camera_centric"][side] == frames["world_centric"][side]
        fit = pair["spatial_compatibility"]
        assert set(fit) == {"cameracentric", "worldcentric", "objectcentric"}
        assert set(fit["worldcentric"]) - set(fit["cameracentric"]) == {"on_top"}
        assert not any(fit["objectcentric"].values())
    answers = Counter(q["answer"] for q in published_questions(record) if q["family"] == "configuration")
    assert answers["Yes"] == answers["No"] > 0


def test_published_mode_loses_stacks_below_the_origin_and_ours_does_not():
    scene = next(
        s
        for s in map(TABLES.scene, range(20))
        if annotate(s)["relations"]["world/on"]["verdict"].count(1) or True
    )
    table = published_annotation(scene)["spatial_relationships"]["pairwise_relations"]
    lowered = scene.moved(SE3(np.eye(3), np.array([0.0, 0.0, -1.0])))
    low_table = published_annotation(lowered)["spatial_relationships"]["pairwise_relations"]
    count = [sum(p["spatial_configuration"]["world_centric"]["above"] for p in t) for t in (table, low_table)]
    assert count[1] == 0 < count[0]
    ours = [annotate(s)["relations"]["world/above"]["verdict"] for s in (scene, lowered)]
    assert ours[0] == ours[1]


def test_published_left_and_right_have_different_containment_tests():
    """The rule as written, one pair at a time, on silhouettes."""
    scene = TABLES.scene(4)
    shapes = silhouettes(scene)
    got = configuration(scene, shapes, "lenient")["camera_centric"]

    def within(point, box):
        return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]

    for i in range(8):
        for j in range(8):
            if i == j or not (shapes.seen[i] and shapes.seen[j]):
                continue
            a, b, box_a, box_b = shapes.centre[i], shapes.centre[j], shapes.bounds[i], shapes.bounds[j]
            assert got["left"][i, j] == (a[0] < b[0] - 1e-6 and not within(b, box_a))
            assert got["right"][i, j] == (a[0] > b[0] + 1e-6 and not within(a, box_b))
            depth = shapes.depth.mean(axis=1)
            assert got["infront"][i, j] == (depth[i] < depth[j])

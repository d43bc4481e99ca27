"""The layouts of rviz and Foxglove show topics that exist, in panels that exist."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from spatial_vla.nodes.recorder_node import TOPICS
from spatial_vla.nodes.visualizer_node import VisualizerNode

LAUNCH = Path(__file__).parents[2] / "launch"
TYPE_OF_DISPLAY = {
    "Image": "Image",
    "MarkerArray": "MarkerArray",
    "Path": "Path",
    "PointCloud2": "PointCloud2",
    "RobotModel": "String",
}


@pytest.fixture(scope="module")
def published() -> dict[str, str]:
    """Type of every topic of the graph that is worth looking at, by full name."""
    return {f"/{topic.name.lstrip('/')}": topic.message.__name__ for topic in TOPICS}


@pytest.fixture(scope="module")
def rviz() -> dict[str, Any]:
    return yaml.safe_load((LAUNCH / "rviz/bringup.rviz").read_text())["Visualization Manager"]


@pytest.fixture(scope="module")
def foxglove() -> dict[str, Any]:
    return json.loads((LAUNCH / "foxglove/bringup.json").read_text())


def test_rviz_shows_all_that_is_made_for_viewing_and_nothing_else(rviz, published):
    shown = {}
    for display in rviz["Displays"]:
        kind = display["Class"].removeprefix("rviz_default_plugins/")
        topic = display.get("Topic") or display.get("Description Topic")
        if topic:
            shown[topic["Value"]] = TYPE_OF_DISPLAY[kind]
    assert shown == {name: published.get(name) for name in shown}
    made_for_viewing = {name for name in published if name.startswith("/viz/")}
    assert set(shown) == made_for_viewing | {"/camera/external/image", "/robot_description"}


def test_latched_topics_are_shown_latched(rviz):
    model = next(d for d in rviz["Displays"] if d["Class"].endswith("RobotModel"))
    assert model["Description Topic"]["Durability Policy"] == "Transient Local"


def test_every_foxglove_panel_is_placed_once_and_configured(foxglove):
    assert sorted(_panels(foxglove["layout"])) == sorted(foxglove["configById"])


def test_foxglove_shows_topics_that_are_published(foxglove, published):
    shown = set(_topics(foxglove["configById"]))
    assert shown <= set(published), shown - set(published)
    assert {n for n in published if n.startswith("/viz/")} <= shown


def test_the_parameter_file_names_parameters_that_exist():
    sections = yaml.safe_load((LAUNCH / "config/spatial_vla.yaml").read_text())
    declared = {row.name for row in VisualizerNode.parameters}
    assert set(sections["/**/visualizer_node"]["ros__parameters"]) <= declared


def _panels(layout: Any) -> Iterator[str]:
    if isinstance(layout, str):
        yield layout
    else:
        for side in ("first", "second"):
            yield from _panels(layout[side])


def _topics(value: Any) -> Iterator[str]:
    """Every topic name in a panel's configuration, as a key or as (the beginning of) a message path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _topics(key)
            yield from _topics(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _topics(inner)
    elif isinstance(value, str) and value.startswith("/"):
        yield value.split(".")[0]

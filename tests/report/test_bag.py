"""The bag: complete, in order of time, and readable by programs that do not know our types."""

import json
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader
from rosbags.typesys.store import Typestore
from spatial_vla.report import RunRecorder, read_run
from spatial_vla.report.bag import chunk, picture, read_bag, stamp_ns
from spatial_vla.report.definitions import INTERFACES, message_folder, typestore

TYPES = {
    "/action_chunk": "spatial_vla_interfaces/msg/ActionChunk",
    "/camera/external/camera_info": "sensor_msgs/msg/CameraInfo",
    "/camera/external/image": "sensor_msgs/msg/Image",
    "/features": "spatial_vla_interfaces/msg/FeatureMap",
    "/instruction": "spatial_vla_interfaces/msg/Instruction",
    "/motion_status": "spatial_vla_interfaces/msg/MotionStatus",
    "/policy_status": "spatial_vla_interfaces/msg/PolicyStatus",
    "/sim/state": "spatial_vla_interfaces/msg/SimState",
    "/tf": "tf2_msgs/msg/TFMessage",
    "/tf_static": "tf2_msgs/msg/TFMessage",
}


def test_an_independent_reader_finds_schemas_counts_and_rising_times(recorded: Path):
    counts = json.loads((recorded / "run.json").read_text())["messages"]
    with (recorded / "bag" / "bag.mcap").open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        names = {c.topic: summary.schemas[c.schema_id].name for c in summary.channels.values()}
        assert names == TYPES
        assert {s.encoding for s in summary.schemas.values()} == {"ros2msg"}
        found = {c.topic: summary.statistics.channel_message_counts[c.id] for c in summary.channels.values()}
        assert found == counts
        times = [message.log_time for _, _, message in reader.iter_messages(log_time_order=False)]
    assert len(times) == sum(counts.values())
    assert np.all(np.diff(times) >= 0)


def test_schemas_hold_our_definitions_with_their_constants(recorded: Path):
    with (recorded / "bag" / "bag.mcap").open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    texts = {s.name: s.data.decode() for s in summary.schemas.values()}
    status = texts["spatial_vla_interfaces/msg/MotionStatus"]
    assert "uint8 HOLDING=3" in status
    assert "MSG: geometry_msgs/Pose" in status


def test_the_folder_is_a_rosbag2_bag(recorded: Path):
    with Reader(recorded / "bag") as reader:
        assert {c.topic: c.msgtype for c in reader.connections} == TYPES
        assert reader.duration > 4e9


def test_type_hashes_are_those_of_the_built_interfaces():
    store = typestore()
    for path in sorted(message_folder().glob("*.json")):
        name = f"{INTERFACES}/msg/{path.stem}"
        built = {t["type_name"]: t["hash_string"] for t in json.loads(path.read_text())["type_hashes"]}
        assert store.hash_rihs01(name) == built[name]


def test_messages_come_back_as_they_went_in(recorded: Path):
    frames = [m for _, _, m in read_bag(recorded / "bag", ("/camera/external/image",))]
    assert len(frames) == 50
    assert picture(frames[0]).shape == (224, 224, 3) and picture(frames[0]).std() > 10
    assert np.all(np.diff([stamp_ns(m) for m in frames]) == 100_000_000)
    first = chunk(next(m for _, _, m in read_bag(recorded / "bag", ("/action_chunk",))))
    assert first.deltas.shape == (4, 6) and first.frame == "panda_link0" and first.target is not None


def test_topics_that_were_not_recorded_are_skipped(recorded: Path):
    assert list(read_bag(recorded / "bag", ("/joint_states",))) == []


def test_a_namespaced_robot_is_read_like_any_other(tmp_path: Path):
    recorder = RunRecorder(tmp_path / "run", "/left")
    store = typestore()
    recorder.record("/left/said", "std_msgs/msg/String", 5, said_text(store, "x"))
    recorder.record("/tf_said", "std_msgs/msg/String", 6, said_text(store, "y"))
    recorder.close()
    found = read_bag(tmp_path / "run" / "bag", ("/said", "/tf_said"), "/left")
    assert [(topic, message.data) for topic, _, message in found] == [("/said", "x"), ("/tf_said", "y")]
    assert read_run(tmp_path / "run").episodes == []


def said_text(store: Typestore, text: str) -> bytes:
    message = store.types["std_msgs/msg/String"](data=text)
    return bytes(store.serialize_cdr(message, "std_msgs/msg/String"))


def test_a_clock_that_steps_back_does_not_break_the_order(tmp_path: Path):
    recorder = RunRecorder(tmp_path / "run")
    data = said_text(typestore(), "x")
    for time_ns in (10, 30, 20, 40):
        recorder.record("/said", "std_msgs/msg/String", time_ns, data)
    recorder.close()
    assert [t for _, t, _ in read_bag(tmp_path / "run" / "bag", ("/said",))] == [10, 30, 30, 40]


def test_a_second_run_in_the_same_directory_is_refused(recorded: Path):
    with pytest.raises(FileExistsError, match="directory of its own"):
        RunRecorder(recorded)

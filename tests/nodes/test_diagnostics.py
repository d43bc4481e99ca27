"""What a node says of what it hears and does: rates, ages, latencies, stops by cause; and the doctor who reads it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from spatial_vla.nodes import qos
from spatial_vla.nodes.diagnostics import written
from spatial_vla.nodes.topic_health import TopicHealth
from spatial_vla_interfaces.msg import MotionStatus
from std_msgs.msg import Bool, Header

from .test_motion_node import Arm, start_motion

DOCTOR = Path(sys.executable).with_name("spatial-vla")


def test_topics_are_counted_per_look(monkeypatch):
    now = 100.0
    monkeypatch.setattr("spatial_vla.nodes.topic_health.time.monotonic", lambda: now)
    monkeypatch.setattr("spatial_vla.nodes.topic_health.time.time_ns", lambda: 5_000_000)
    topics = TopicHealth()
    topics.expect("/camera/image")
    topics.expect("joint_states")
    stamped = type("Message", (), {"header": Header()})
    stamped.header.stamp.sec = 2
    for _ in range(20):
        topics.heard("camera/image", stamped(), 1_000_000)
    now = 102.0
    found = topics.readings(2_050_000_000)
    assert found["camera/image.hz"] == 10.0
    assert found["camera/image.age_ms"] == pytest.approx(50.0)
    assert found["camera/image.transit_ms"] == pytest.approx(4.0)
    assert found["joint_states.hz"] == 0.0 and "joint_states.age_ms" not in found
    now = 103.0
    again = topics.readings(3_050_000_000)
    assert again["camera/image.hz"] == 0.0 and again["camera/image.age_ms"] == pytest.approx(1050.0)


@pytest.mark.parametrize(
    ("value", "text"), [(10.0, "10.0"), (0.0, "0.0"), (3.14159, "3.142"), (-4.0, "-4.0")]
)
def test_readings_are_never_taken_for_counters(value, text):
    assert written(value) == text and not written(value).isdigit()


def values(graph):
    told = [s for m in graph.received["/diagnostics"] for s in m.status if s.name == "motion_node"]
    return {v.key: v.value for v in told[-1].values} if told else {}


def test_the_motion_node_tells_rates_latencies_clamps_and_stops_and_the_doctor_prints_them(graph):
    arm = Arm(graph)
    graph.subscribe(DiagnosticArray, "/diagnostics", 50)
    start_motion(graph, "watched_nodes:=['']")
    arm.reaches(MotionStatus.IDLE)
    for _ in range(3):
        arm.send((0.0, 0.08))
        for _ in range(15):
            arm.tick()
    graph.publish("motion_node/stop", Bool(data=True), qos.LATCHED)
    arm.reaches(MotionStatus.FAULT, "stop button")
    arm.until(lambda: values(graph).get("stop.stop_button_was_pressed") == "1", "the stop to be counted")
    arm.until(lambda: float(values(graph)["joint_states.hz"]) > 5.0, "a rate, which is taken once a second")
    told = values(graph)
    assert int(told["clamp.translation"]) == 3 and told["clamp.rotation"] == "0"
    assert float(told["image_to_command_ms"]) >= 40.0
    assert 0.0 < float(told["tick_ms.median"]) <= float(told["tick_ms.p99"])
    assert abs(float(told["joint_states.age_ms"])) < 100.0
    process = subprocess.Popen(
        [DOCTOR, "doctor", "--json"],
        env=graph.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    arm.until(lambda: process.poll() is not None, "the doctor's report")
    node = json.loads(process.communicate()[0])["nodes"]["motion_node"]
    assert node["message"].startswith("FAULT: stop button")
    assert node["counters"]["stop.stop_button_was_pressed"] == 1 and node["readings"]["tick_ms.p99"]

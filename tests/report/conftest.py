"""A recorded run made without ROS: the simulated arm reaches for objects, told in real, serialised messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio as pin
import pytest
from rosbags.typesys.store import Typestore
from spatial_vla.description import panda_urdf
from spatial_vla.geometry import SE3
from spatial_vla.report import RunRecorder
from spatial_vla.report.definitions import typestore
from spatial_vla_sim.referee import judge
from spatial_vla_sim.scene import Scene, sample_scene
from spatial_vla_sim.world import World

CHUNK_STEPS, CHUNK_DT, PERIOD_NS = 4, 0.2, 100_000_000


class FakeGraph:
    """Speaks for the whole graph: builds messages with the types of the bag library and records them."""

    def __init__(self, directory: Path) -> None:
        self.recorder = RunRecorder(directory)
        self.types: Typestore = typestore()
        self.world = World(224)
        self.chunks = 0
        self.rng = np.random.default_rng(5)

    def new(self, name: str, **fields: Any) -> Any:
        """A message whose other fields are zero."""
        return _message(self.types, name, fields)

    def publish(self, topic: str, message: Any, time_ns: int) -> None:
        name = message.__msgtype__
        self.recorder.record(topic, name, time_ns, bytes(self.types.serialize_cdr(message, name)))

    def header(self, time_ns: int, frame: str) -> Any:
        sec, nanosec = divmod(time_ns, 1_000_000_000)
        stamp = self.new("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
        return self.new("std_msgs/msg/Header", stamp=stamp, frame_id=frame)

    def transform(self, pose: SE3) -> Any:
        x, y, z = map(float, pose.translation)
        qx, qy, qz, qw = map(float, pose.quaternion())
        return self.new(
            "geometry_msgs/msg/Transform",
            translation=self.new("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
            rotation=self.new("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
        )

    def tf(self, topic: str, time_ns: int, parent: str, child: str, pose: SE3) -> None:
        stamped = self.new(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(time_ns, parent),
            child_frame_id=child,
            transform=self.transform(pose),
        )
        self.publish(topic, self.new("tf2_msgs/msg/TFMessage", transforms=[stamped]), time_ns)

    def images(self, time_ns: int) -> None:
        frame = self.world.render("external")
        header = self.header(time_ns, "external_camera_optical_frame")
        info = self.camera_info(header, frame.camera)
        height, width = frame.depth.shape
        self.publish("/camera/external/camera_info", info, time_ns)
        image = self.new(
            "sensor_msgs/msg/Image",
            header=header,
            height=height,
            width=width,
            encoding="rgb8",
            step=3 * width,
            data=frame.rgb.reshape(-1),
        )
        self.publish("/camera/external/image", image, time_ns)
        small = frame.rgb.reshape(14, 16, 14, 16, 3).mean(axis=(1, 3)) / 255.0
        depth = frame.depth.reshape(14, 16, 14, 16).mean(axis=(1, 3))[..., None]
        mixing = np.random.default_rng(0).normal(size=(4, 32))
        features = np.tanh(np.concatenate((small, depth), axis=-1) @ mixing).astype(np.float16)
        message = self.new(
            "spatial_vla_interfaces/msg/FeatureMap",
            header=header,
            base_frame="panda_link0",
            base_from_camera=self.transform(frame.world_from_camera),
            camera_info=info,
            rows=14,
            cols=14,
            channels=32,
            data=features.reshape(-1).view(np.uint16),
            encoder="fake",
        )
        self.publish("/features", message, time_ns)

    def camera_info(self, header: Any, camera: Any) -> Any:
        K = camera.K.reshape(-1)
        size = {"width": camera.width, "height": camera.height}
        return self.new("sensor_msgs/msg/CameraInfo", header=header, k=K, **size)

    def chunk(self, time_ns: int, instruction_id: int, path: np.ndarray, target: np.ndarray) -> None:
        self.chunks += 1
        deltas = np.zeros((CHUNK_STEPS, 6))
        deltas[:, :3] = np.diff(path, axis=0)
        encode, decode, overhead = self.rng.gamma(20.0, (0.9, 0.45, 0.15))
        point = self.new("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, target), strict=True)))
        message = self.new(
            "spatial_vla_interfaces/msg/ActionChunk",
            header=self.header(time_ns, "panda_link0"),
            id=self.chunks,
            instruction_id=instruction_id,
            dt=CHUNK_DT,
            steps=CHUNK_STEPS,
            deltas=deltas.reshape(-1),
            gripper=np.ones(CHUNK_STEPS),
            has_target=True,
            target=point,
            encode_ms=encode,
            decode_ms=decode,
        )
        self.publish("/action_chunk", message, time_ns + 30_000_000)
        policy = self.new(
            "spatial_vla_interfaces/msg/PolicyStatus", chunks=self.chunks, ros_overhead_ms=overhead
        )
        self.publish("/policy_status", policy, time_ns + 31_000_000)
        whole = encode + decode + overhead + self.rng.uniform(0.0, 10.0)
        motion = self.new(
            "spatial_vla_interfaces/msg/MotionStatus", chunk_id=self.chunks, image_to_command_ms=whole
        )
        for _ in range(3):
            self.publish("/motion_status", motion, time_ns + 40_000_000)

    def state(self, time_ns: int, scene: Scene) -> None:
        outcome = judge(self.world, scene)
        message = self.new(
            "spatial_vla_interfaces/msg/SimState",
            header=self.header(time_ns, "world"),
            success=outcome.success,
            failure=outcome.failure,
            distance=outcome.distance,
            distractor_displacement=outcome.distractor_displacement,
        )
        self.publish("/sim/state", message, time_ns)

    def episode(self, number: int, scene: Scene, goal: np.ndarray, seconds: float) -> None:
        """Move to ``goal`` (3,) in ``seconds`` and record everything on the way, plus half a second of rest."""
        world = self.world
        world.reset(scene)
        joints = _reach(world.joint_state()[0], goal)
        start, tcp = world.time_ns, _tool_path(world.joint_state()[0], joints)
        world.set_arm_command([(seconds, joints, np.zeros(7))])
        self.tf("/tf_static", start, "world", "external_camera_optical_frame", scene.world_from_camera)
        self.tf("/tf_static", start, "world", "panda_link0", SE3.identity())
        say = {"id": number, "text": scene.instruction, "header": self.header(start, "")}
        self.publish(
            "/instruction", self.new("spatial_vla_interfaces/msg/Instruction", active=True, **say), start
        )
        for frame in range(round((seconds + 0.5) * 10)):
            now = world.time_ns
            self.tf("/tf", now, "panda_link0", "panda_tcp", world.tcp_pose())
            self.images(now)
            times = frame / 10 + CHUNK_DT * np.arange(CHUNK_STEPS + 1)
            self.chunk(now, number, tcp(times / seconds), world.object_positions()[scene.task.target])
            self.state(now, scene)
            world.step(PERIOD_NS * 1e-9)
        end = self.new("spatial_vla_interfaces/msg/Instruction", active=False, **say)
        self.publish("/instruction", end, world.time_ns)
        self.state(world.time_ns, scene)


def _message(types: Typestore, name: str, given: dict[str, Any]) -> Any:
    values = {}
    fields: Any = types.fielddefs[name][1]
    for field, (kind, detail) in fields:
        if field in given:
            values[field] = given[field]
        elif kind == 1:
            values[field] = _zero(detail[0])
        elif kind == 2:
            values[field] = _message(types, detail, {})
        else:
            values[field] = _zeros(*detail) if kind == 3 else _zeros(detail[0], 0)
    return types.types[name](**values)


def _zero(primitive: str) -> Any:
    return {"string": "", "bool": False}.get(primitive, 0.0 if primitive.startswith("float") else 0)


def _zeros(element: Any, length: int) -> Any:
    kind, detail = element
    numeric = kind == 1 and detail[0] not in ("string", "bool")
    return np.zeros(length, dtype=detail[0]) if numeric else [_zero(detail[0])] * length


def _model() -> tuple[pin.Model, int]:
    model = pin.buildModelFromXML(panda_urdf())
    return model, model.getFrameId("panda_tcp")


def _reach(start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Damped least squares from joint positions (7,) to a tool position (3,), keeping the tool's orientation."""
    model, frame = _model()
    data = model.createData()
    q = np.concatenate((start, (0.04, 0.04)))
    pin.framesForwardKinematics(model, data, q)
    wanted = pin.SE3(data.oMf[frame].rotation.copy(), goal)
    for _ in range(100):
        pin.framesForwardKinematics(model, data, q)
        error = pin.log6(data.oMf[frame].actInv(wanted)).vector
        J = pin.computeFrameJacobian(model, data, q, frame)[:, :7]
        q[:7] += J.T @ np.linalg.solve(J @ J.T + 1e-4 * np.eye(6), error)
    return q[:7]


def _tool_path(start: np.ndarray, end: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Tool positions (N, 3) at fractions (N,) of the cubic from start to end."""
    model, frame = _model()
    data = model.createData()

    def positions(fractions: np.ndarray) -> np.ndarray:
        s = np.clip(fractions, 0.0, 1.0)
        s = 3 * s**2 - 2 * s**3
        points = []
        for fraction in s:
            pin.framesForwardKinematics(
                model, data, np.concatenate((start + fraction * (end - start), (0.04, 0.04)))
            )
            points.append(data.oMf[frame].translation.copy())
        return np.array(points)

    return positions


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two episodes: one reaches its object, the other stops far away from it."""
    directory = tmp_path_factory.mktemp("report") / "run"
    record_run(directory)
    return directory


def record_run(directory: Path, seconds: float = 2.0) -> None:
    """Record the two episodes into ``directory``."""
    graph = FakeGraph(directory)
    for number, (seed, short_of) in enumerate(((3, 0.0), (8, 0.12)), start=1):
        scene = sample_scene(seed, "touch")
        x, y, z = scene.target.position
        graph.episode(number, scene, np.array([x, y, z + 0.035 + short_of]), seconds)
    graph.recorder.close()

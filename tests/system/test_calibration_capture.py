"""A calibration through the whole graph: the arm moves, the camera sees the board, and the result is the true mount."""

import itertools
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Duration
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import claimed_domain
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.calibration.files import read_static_transform, read_yaml
from spatial_vla.calibration.session import read_captures
from spatial_vla.calibration.views import turned
from spatial_vla.cli import main
from spatial_vla.description import ARM_JOINTS
from spatial_vla.geometry import matrix_to_rotvec
from spatial_vla_sim.scene import HOME, sample_scene
from spatial_vla_sim.world import World
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

CALIBRATION = Path(__file__).parents[2] / "calibration"
BOARD = CALIBRATION / "example" / "board.yaml"
#: The policy has no part in it.
NODES = ("sim_node", "robot_state_publisher", "motion_node")
CAMERAS = {"eye-in-hand": "wrist", "eye-to-hand": "external"}


@contextmanager
def graph(setup, log, nodes=NODES):
    """Real processes in a DDS domain of their own."""
    parameters = CALIBRATION / "simulation" / f"{setup.replace('-', '_')}.yaml"
    entries = bringup_nodes(BringupArguments(params_file=str(parameters)))
    with claimed_domain(any_free=True), log.open("w") as file:
        runner = Runner(
            [entry for entry in entries if entry.name in nodes],
            output=lambda name, line: file.write(f"[{name}] {line}\n"),
        )
        runner.start()
        ended = threading.Event()

        def look_after():
            while not ended.wait(0.05):
                runner.poll()

        keeper = threading.Thread(target=look_after)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()
            runner.stop()


def calibrate(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["calibrate", *map(str, arguments)])
    return end.value.code


def errors(setup, folder, samples):
    """Capture and calibrate; how far the result is from the true mount [mm, degrees]."""
    camera, output = CAMERAS[setup], folder / "capture"
    common = ("--board", BOARD, "--setup", setup)
    with graph(setup, folder / "nodes.log"):
        code = calibrate(
            "capture", *common, "--camera", f"camera/{camera}", "--output", output, "--count", samples
        )
    assert code == 0, (folder / "nodes.log").read_text()[-2000:]
    assert len(read_yaml(output / "samples.yaml")["samples"]) == samples
    files = ("--samples", output / "samples.yaml", "--camera", output / "camera_info.yaml")
    frame = ("--camera-frame", f"{camera}_camera_optical_frame", "--min-samples", min(samples, 12))
    assert calibrate("hand-eye", *files, *common, *frame, "--output", output / "camera_pose.yaml") == 0
    found = read_static_transform(output / "camera_pose.yaml").pose
    world = World(32)
    world.reset(sample_scene(0))
    truth = world.scene.world_from_camera
    if setup == "eye-in-hand":
        truth = world.link_pose("panda_hand").inverse() @ world.link_pose("wrist_camera_optical_frame")
    off = truth.inverse() @ found
    return 1e3 * np.linalg.norm(off.translation), np.degrees(np.linalg.norm(matrix_to_rotvec(off.rotation)))


def test_a_short_session_finds_the_wrist_camera(tmp_path):
    distance, angle = errors("eye-in-hand", tmp_path, 6)
    assert distance < 2.0 and angle < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("setup", CAMERAS)
def test_fifteen_poses_find_the_camera(setup, tmp_path, capsys):
    distance, angle = errors(setup, tmp_path, 15)
    with capsys.disabled():
        print(f"\n{setup}: {distance:.2f} mm, {angle:.3f} degrees from the true mount with 15 poses")
    assert distance < 0.6 and angle < 0.1


#: Turns of the wrist [rad] that a person makes, one after the other.
TURNS = ((0, 0, 0, 0, 0.3, 0, 0), (0, 0, 0, 0, 0, 0.25, 0.3), (0, 0, 0, 0, -0.3, 0, -0.3))


@pytest.mark.slow
def test_a_person_moves_the_arm_and_samples_are_taken_where_it_rests(tmp_path):
    moving = threading.Event()

    def person():
        context = rclpy.Context()
        rclpy.init(args=[], context=context)
        node = rclpy.create_node("person", context=context)
        hand = node.create_publisher(JointTrajectory, "panda_arm_controller/joint_trajectory", 1)
        for turn in itertools.cycle(TURNS):
            if moving.wait(6.0):
                break
            point = JointTrajectoryPoint(positions=np.add(HOME, turn).tolist(), velocities=[0.0] * 7)
            point.time_from_start = Duration(sec=2)
            hand.publish(JointTrajectory(joint_names=list(ARM_JOINTS), points=[point]))
        rclpy.try_shutdown(context=context)

    with graph("eye-in-hand", tmp_path / "nodes.log", ("sim_node", "robot_state_publisher")):
        thread = threading.Thread(target=person)
        thread.start()
        code = calibrate(
            "capture",
            "--board",
            BOARD,
            "--setup",
            "eye-in-hand",
            "--by-hand",
            "--count",
            4,
            "--output",
            tmp_path,
        )
        moving.set()
        thread.join()
    assert code == 0
    grippers = [capture.base_from_gripper for capture in read_captures(tmp_path / "samples.yaml")]
    assert len(grippers) == 4
    assert all(turned(a, b) > 9.9 for a, b in itertools.combinations(grippers, 2))


def test_a_camera_that_is_not_there_is_named_with_the_way_out(tmp_path, capsys):
    with claimed_domain(any_free=True):
        code = calibrate(
            "capture",
            "--board",
            BOARD,
            "--setup",
            "eye-in-hand",
            "--camera",
            "camera/nose",
            "--output",
            tmp_path,
        )
    assert code == 1
    text = " ".join(capsys.readouterr().err.split())
    assert "nobody publishes /camera/nose/image" in text and "give --camera" in text

"""``spatial-vla calibrate capture``: take samples for hand-eye calibration from the running graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spatial_vla.bringup.environment import join_graph
from spatial_vla.calibration import Board as BoardShape


@dataclass
class Capture:
    """Take samples for `hand-eye` from the running nodes: the arm is led from view to view of the board.

    Bring the arm to where the camera sees the whole board, about in the middle of the picture, and keep the space
    around it free: the gripper will turn by up to 60 degrees and go round the board. Every motion goes through
    motion_node and its limits. With --by-hand you move the arm (free-drive or pendant): a sample is taken whenever it
    rests at a new view. A session that was interrupted is gone on with by giving the same command again.
    """

    board: Path
    """board.yaml, as `spatial-vla calibrate board` writes it; it must be a ChArUco board."""

    setup: Literal["eye-in-hand", "eye-to-hand"]
    """Where the camera is: on the gripper, the board lying still; or beside the robot, the board on the gripper."""

    camera: str = "camera/wrist"
    """The camera: its topics are CAMERA/image and CAMERA/camera_info."""

    output: Path = Path("calibration/capture")
    """Folder for images, samples.yaml, board.yaml and camera_info.yaml."""

    count: int = 15
    """How many samples."""

    by_hand: bool = False
    """Do not move the arm."""

    camera_info: Path | None = None
    """Intrinsics from a file instead of the topic."""

    base_frame: str = "panda_link0"
    """Frame that the gripper's pose is given in; motion_node's base_frame."""

    gripper_frame: str = "panda_hand"
    """Frame whose pose is recorded: the camera, or the board, is fixed to it."""

    namespace: str = ""
    """Namespace of the nodes."""

    def run(self) -> None:
        """Capture; raises CalibrationError when that cannot be done, and leaves what has been captured."""
        from spatial_vla.calibration.files import read_yaml

        board = BoardShape.from_dict(read_yaml(self.board))
        join_graph()
        from spatial_vla.nodes.capture_session import CaptureOptions, CaptureSession
        from spatial_vla.nodes.guest import capture_node

        from .progress import InstructionLine

        camera = self.camera.strip("/")
        options = CaptureOptions(
            board, self.setup, camera, self.output, self.count, self.by_hand, self.camera_info
        )
        joining = capture_node(camera, self.base_frame, self.gripper_frame, self.namespace)
        with InstructionLine("looking for the camera") as line, joining as node:
            session = CaptureSession(node, options, lambda text: print(text, flush=True), line.label)
            if self.by_hand:
                session.watch()
            else:
                session.lead()
        print(f"{session.kept} samples in {self.output}. Next:\n  {self.next_command()}")

    def next_command(self) -> str:
        """What to run on the samples."""
        folder, name = self.output, self.camera.strip("/").split("/")[-1]
        return (
            f"spatial-vla calibrate hand-eye --samples {folder}/samples.yaml --board {folder}/board.yaml "
            f"--camera {folder}/camera_info.yaml --setup {self.setup} --base-frame {self.base_frame} "
            f"--gripper-frame {self.gripper_frame} --camera-frame {name}_camera_optical_frame "
            f"--output {folder}/camera_pose.yaml"
        )

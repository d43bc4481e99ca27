"""A capture session for hand-eye calibration, from the first image to the last sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..calibration import Board, CalibrationError, board_pose
from ..calibration.files import read_camera_info
from ..calibration.hand_eye import Setup
from ..calibration.recording import Recording
from ..calibration.session import read_grey
from ..calibration.views import NEWS, Taken, ViewPlan, is_new
from ..geometry import SE3
from .arm_leading import ArmLeader, remaining
from .calibration_capture import CalibrationCapture, StillView

#: How long a still image may take to come [s, real time].
PATIENCE = 15.0
#: From the moment that the command stands still, so much passes until the arm does [ns].
SETTLING_NS = 100_000_000
#: A gripper this far [m, rad] from where it was led has not been led there.
ASTRAY = (0.03, 0.2)


@dataclass(frozen=True)
class CaptureOptions:
    """What to capture.

    Attributes:
        camera: name that its topics begin with.
        output: folder of the recording.
        count: samples.
        by_hand: somebody else moves the arm.
        camera_info: file with the intrinsics; None: the topic has them.
    """

    board: Board
    setup: Setup
    camera: str
    output: Path
    count: int
    by_hand: bool
    camera_info: Path | None


class CaptureSession:
    """Keeps one sample after the other.

    Args:
        say: takes a line about each sample kept and each pose skipped.
        show: takes what is going on just now.
    """

    def __init__(
        self,
        node: CalibrationCapture,
        options: CaptureOptions,
        say: Callable[[str], None],
        show: Callable[[str], None],
    ) -> None:
        self._node, self._options, self._say, self._show = node, options, say, show
        show("waiting for the camera")
        first = node.next_view(-1, PATIENCE)
        if first is None:
            raise CalibrationError(
                f"images come, but in {PATIENCE:g} s the gripper has not stood still (0.5 mm and 0.06 degrees in "
                "0.1 s); bring the robot to rest"
            )
        self._first = first
        self._camera = (
            read_camera_info(options.camera_info)[1] if options.camera_info is not None else first.camera
        )
        if self._camera is None and not options.by_hand:
            raise CalibrationError(
                f"camera_info of '{options.camera}' is not calibrated (K is zero), so the arm cannot be led. First "
                f"take images with --by-hand and run `spatial-vla calibrate intrinsics --images {options.output}/"
                "images`, then give its result with --camera-info"
            )
        self._recording = Recording(
            options.output, options.board, self._camera, options.camera.split("/")[-1]
        )
        self._taken = self._taken_before() if self._camera is not None else []
        if self.kept:
            say(f"going on with {self.kept} samples in {options.output}")

    @property
    def kept(self) -> int:
        """Samples on disk."""
        return len(self._recording.captures)

    def lead(self) -> None:
        """Move the arm from pose to pose until there are enough samples, and back to where it was.

        Raises:
            CalibrationError: the board is not in view at the beginning, the arm may not move, or there are too few
                poses that could be reached and saw the board. What has been kept stays.
        """
        leader = ArmLeader(self._node)
        try:
            self._show("waiting for the arm")
            start = leader.wait_until_ready()
            view = self._still(leader)
            gripper_from_tool = view.base_from_gripper.inverse() @ start
            why = self._keep(view)
            if why and not self._taken:
                raise CalibrationError(
                    f"at the arm's present pose {why}. Move the arm so that the whole board is in the picture, about "
                    f"in its middle, and check that {self._options.board.to_dict()} is the board that is there"
                )
            last = start
            for pose in ViewPlan(self._options.setup, self._options.board, self._taken).poses():
                if self.kept >= self._options.count:
                    break
                self._show(f"sample {self.kept + 1} of {self._options.count}: the arm moves")
                target = pose @ gripper_from_tool
                stuck = leader.go(target)
                why = stuck or self._keep(self._arrived(leader, pose))
                if why:
                    self._say(f"skipped a pose: {why}")
                if stuck and leader.go(last):
                    raise CalibrationError(
                        f"{stuck}; and it cannot go back. Move it away from there by hand or with the robot's own "
                        "means, begin from a pose with more room around it, and start again: what has been captured "
                        "is kept"
                    )
                last = last if stuck else target
            self._show("going back")
            leader.go(start)
        except BaseException:
            leader.stop()
            raise
        if self.kept < self._options.count:
            raise CalibrationError(
                f"{self.kept} of {self._options.count} samples; the other poses were skipped for the reasons above. "
                "Begin from a pose with more room around it, nearer to the middle of the workspace, or add views with "
                "--by-hand"
            )

    def watch(self) -> None:
        """Keep a sample whenever somebody has moved the arm to a new view and let it rest, until there are enough."""
        stamp_ns = -1
        while self.kept < self._options.count:
            self._show(f"{self.kept} of {self._options.count} samples: turn the gripper to another view")
            view = self._node.next_view(stamp_ns, 1.0)
            if view is not None:
                stamp_ns = view.stamp_ns
                self._keep(view)

    def _keep(self, view: StillView) -> str:
        """Write the sample down if it tells something; else why it does not."""
        corners = self._options.board.detect(view.rgb)
        if corners is None:
            return "the board is not seen"
        gripper = view.base_from_gripper
        before = [one.base_from_gripper for one in self._recording.captures]
        if not is_new(gripper, before):
            return f"the view is within {NEWS:g} degrees of one before"
        path = self._recording.add(view.rgb, gripper)
        if self._camera is not None:
            self._taken.append(Taken(gripper, board_pose(corners, self._camera).camera_from_board))
        self._say(f"{self.kept:3d} of {self._options.count}: {path.name}, {len(corners.pixels)} corners")
        return ""

    def _arrived(self, leader: ArmLeader, pose: SE3) -> StillView:
        view = self._still(leader)
        off = remaining(view.base_from_gripper, pose)
        distance, angle = np.linalg.norm(off[:3]), np.linalg.norm(off[3:])
        if distance > ASTRAY[0] or angle > ASTRAY[1]:
            raise CalibrationError(
                f"the motion stage says the arm is there, but on /tf the gripper is {1e3 * distance:.0f} mm and "
                f"{np.degrees(angle):.0f} degrees from it. Does motion_node only imagine the motion (dry_run:=false "
                "moves the arm), or is --gripper-frame not a frame of the hand?"
            )
        return view

    def _still(self, leader: ArmLeader) -> StillView:
        view = self._node.next_view(leader.now_ns + SETTLING_NS, PATIENCE)
        if view is None:
            raise CalibrationError(
                f"images come, but in {PATIENCE:g} s the gripper has not stood still, though the motion stage is at "
                f"rest: is '{self._node.value('gripper_frame')}' a frame of the arm that it moves?"
            )
        return view

    def _taken_before(self) -> list[Taken]:
        assert self._camera is not None
        taken = []
        for capture in self._recording.captures:
            corners = self._options.board.detect(read_grey(capture.image))
            if corners is not None:
                pose = board_pose(corners, self._camera).camera_from_board
                taken.append(Taken(capture.base_from_gripper, pose))
        return taken

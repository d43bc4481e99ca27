"""``spatial-vla calibrate``: boards, intrinsics, and where a camera is on the robot."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from spatial_vla.calibration import Board as BoardShape
from spatial_vla.calibration import CalibrationError, HandEyeReport, IntrinsicsReport

from .calibrate_capture import Capture


@dataclass
class MakeBoard:
    """Make a ChArUco board to print: board.pdf, board.png and board.yaml, which the other commands read.

    Print the PDF at 100 %, glue it on something flat and stiff, measure ten squares with a ruler, and correct `square`
    in board.yaml: a size that is 1 % off puts the camera 1 % too near or too far.
    """

    columns: int = 8
    """Squares along the longer side."""

    rows: int = 6
    """Squares along the shorter side."""

    square: float = 0.03
    """Side of a square [m]."""

    marker: float = 0.022
    """Side of a marker [m]; about 3/4 of a square."""

    dictionary: str = "DICT_5X5_100"
    """Marker dictionary, as OpenCV names it."""

    output: Path = Path("calibration/board")
    """Folder to write to."""

    def run(self) -> None:
        """Write the files."""
        from spatial_vla.calibration.files import write_yaml
        from spatial_vla.calibration.printing import write_pdf, write_png

        board = BoardShape("charuco", self.columns, self.rows, self.square, self.marker, self.dictionary)
        write_yaml(self.output / "board.yaml", board.to_dict())
        write_png(self.output / "board.png", board)
        write_pdf(self.output / "board.pdf", board)
        print(f"wrote board.yaml, board.png and board.pdf to {self.output}")


@dataclass
class Intrinsics:
    """Find focal lengths, centre and distortion from a folder of images of a board.

    Take 20 to 40 sharp images with the board in every part of the image, near and far, tilted by 20 to 50 degrees about
    both axes. The error on held-out views is the figure to look at: if it is well above the reprojection error, there
    are too few views. Good: below 0.5 px for a real camera.
    """

    images: Path
    """Folder with the images; all of one size, no other images in it."""

    board: Path
    """board.yaml, as `spatial-vla calibrate board` writes it."""

    output: Path = Path("camera_info.yaml")
    """File for the result, as ROS's camera_info_manager reads it."""

    name: str = "camera"
    """Name of the camera, written into the file."""

    lens: Literal["none", "normal", "wide"] = "normal"
    """none: images are rectified already; normal: k1, k2, p1, p2; wide: six radial coefficients, above 90 degrees."""

    min_views: int = 10
    """Refuse fewer usable views."""

    max_rms: float = 1.0
    """Refuse a worse reprojection error [px]."""

    def run(self) -> None:
        """Calibrate and write the file."""
        from spatial_vla.calibration import calibrate_intrinsics
        from spatial_vla.calibration.files import read_yaml, write_camera_info
        from spatial_vla.calibration.session import detect_all, image_files

        board = BoardShape.from_dict(read_yaml(self.board))
        found, missed, size = detect_all(board, image_files(self.images))
        for path in missed:
            print(f"no board found in {path.name}")
        views = [corners for _, corners in found]
        report = calibrate_intrinsics(views, *size, self.lens, self.min_views, self.max_rms)
        for index in report.rejected:
            print(f"left out {found[index][0].name}: it disagrees with the others")
        print(intrinsics_table(report))
        write_camera_info(self.output, self.name, report.camera)
        print(f"wrote {self.output}")


@dataclass
class HandEye:
    """Find where a camera is: on the gripper (eye-in-hand) or beside the robot (eye-to-hand).

    eye-in-hand: the board lies still, the camera rides on the gripper. eye-to-hand: the camera stands still, the board
    rides on the gripper. Take 15 samples or more, the robot at rest each time, each turned by 20 to 60 degrees about
    another axis. samples.yaml lists for each one `image` (a path beside the file) and `base_from_gripper` with
    translation {x, y, z} [m] and rotation {x, y, z, w}. Samples that disagree are left out and named. What is printed:
    the 95 % bound of the camera's pose, and how far off a view is that had no part in the result.
    """

    samples: Path
    """samples.yaml: images and robot poses."""

    board: Path
    """board.yaml; it must be a ChArUco board."""

    camera: Path
    """camera_info.yaml of the same camera mode."""

    setup: Literal["eye-in-hand", "eye-to-hand"]
    """Where the camera is mounted."""

    output: Path = Path("camera_pose.yaml")
    """File for the result: a static transform with its figures."""

    camera_frame: str = "wrist_camera_optical_frame"
    """Optical frame of the camera: z forward, x right, y down."""

    gripper_frame: str = "panda_hand"
    """Frame that `base_from_gripper` is the pose of."""

    base_frame: str = "panda_link0"
    """Frame that `base_from_gripper` is given in."""

    min_samples: int = 12
    """Refuse fewer samples that agree."""

    def run(self) -> None:
        """Calibrate and write the files."""
        from spatial_vla.calibration import calibrate_hand_eye
        from spatial_vla.calibration.files import (
            StaticTransform,
            read_camera_info,
            read_yaml,
            write_easy_handeye,
            write_static_transform,
        )
        from spatial_vla.calibration.session import read_captures, samples_from

        board = BoardShape.from_dict(read_yaml(self.board))
        _, camera = read_camera_info(self.camera)
        samples, missed = samples_from(read_captures(self.samples), board, camera)
        for path in missed:
            print(f"no board found in {path.name}")
        report = calibrate_hand_eye(samples, self.setup, self.min_samples)
        parent = self.gripper_frame if self.setup == "eye-in-hand" else self.base_frame
        transform = StaticTransform(parent, self.camera_frame, report.camera, quality(report))
        print(hand_eye_table(report))
        write_static_transform(self.output, transform)
        other = self.output.with_suffix(".calib")
        write_easy_handeye(other, self.output.stem, transform, self.base_frame, self.gripper_frame)
        # Where the board is, for `calibrate verify` and the monitor.
        holder = self.base_frame if self.setup == "eye-in-hand" else self.gripper_frame
        where = self.output.with_name(f"{self.output.stem}_board.yaml")
        known = StaticTransform(holder, "calibration_board", report.board, {"board": board.to_dict()})
        write_static_transform(where, known)
        print(f"wrote {self.output}, {where} (the board) and {other} (easy_handeye2)")
        print(f"URDF: {transform.urdf_origin()}\n{transform.publisher_command()}")


@dataclass
class Verify:
    """Is a calibration still true? Look at the board again, and compare with where it is known to be.

    Give new samples (in the form of `hand-eye`), the camera's pose and the board's, as `hand-eye` wrote them. For an
    eye-in-hand camera the board must not have been moved since, for an eye-to-hand one it must be held as it was.
    """

    samples: Path
    """samples.yaml: images and robot poses; three or more."""

    camera: Path
    """camera_info.yaml of the same camera mode."""

    pose: Path = Path("camera_pose.yaml")
    """The camera's pose; the board's is in the file of this name with _board."""

    max_distance: float = 5.0
    """Refuse when the board is farther off than this [mm]."""

    max_angle: float = 0.5
    """Refuse when the board is turned by more than this [degrees]."""

    def run(self) -> None:
        """Compare; raises CalibrationError when the tolerance is exceeded."""
        import numpy as np

        from spatial_vla.calibration.files import read_camera_info, read_static_transform
        from spatial_vla.calibration.session import verify

        known = read_static_transform(self.pose.with_name(f"{self.pose.stem}_board.yaml"))
        _, camera = read_camera_info(self.camera)
        tolerance = (1e-3 * self.max_distance, float(np.radians(self.max_angle)))
        rows, drift = verify(self.samples, camera, read_static_transform(self.pose), known, tolerance)
        for name, one in rows:
            print(f"{name:20s}  {one}")
        print(f"{'median of ' + str(len(rows)):20s}  {drift}")
        if drift.exceeded:
            raise CalibrationError("the board is not where the calibration has it; calibrate again")


@dataclass
class Example:
    """Make images and robot poses of a simulated rig whose truth is known, to try the other commands on."""

    output: Path = Path("calibration/example")
    """Folder to write to."""

    setup: Literal["eye-in-hand", "eye-to-hand"] = "eye-in-hand"
    """Where the camera is mounted."""

    count: int = 16
    """How many samples."""

    seed: int = 1
    """Another seed is another rig."""

    def run(self) -> None:
        """Render and write."""
        from spatial_vla.calibration.example import write_example

        write_example(self.output, self.setup, self.count, self.seed)
        print(f"wrote {self.count} samples, true_camera_info.yaml and true_pose.yaml to {self.output}")


Step = (
    Annotated[MakeBoard, tyro.conf.subcommand("board")]
    | Annotated[Intrinsics, tyro.conf.subcommand("intrinsics")]
    | Annotated[Capture, tyro.conf.subcommand("capture")]
    | Annotated[HandEye, tyro.conf.subcommand("hand-eye")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Example, tyro.conf.subcommand("example")]
)


@dataclass
class Calibrate:
    """Calibrate cameras: make a board, find intrinsics, take samples, find where the camera is, see if it still is."""

    step: tyro.conf.OmitSubcommandPrefixes[Step]

    def run(self) -> int:
        """Return 0 when done, 1 when the data were refused, 130 when interrupted."""
        try:
            self.step.run()
        except KeyboardInterrupt:
            print("interrupted; what has been captured is kept", file=sys.stderr)
            return 130
        except CalibrationError as error:
            print(f"spatial-vla calibrate: {error}", file=sys.stderr)
            return 1
        return 0


def quality(report: HandEyeReport) -> dict[str, Any]:
    """The figures that are kept with the transform."""
    moved, turned = 1e3 * report.left_out[:, 0], np.degrees(report.left_out[:, 1])
    return {
        "setup": report.setup,
        "samples_used": len(report.used),
        "samples_rejected": list(report.rejected),
        "bound95_mm": round(1e3 * report.bound95[0], 4),
        "bound95_deg": round(float(np.degrees(report.bound95[1])), 5),
        "left_out_rms_mm": round(float(np.sqrt(np.mean(moved**2))), 4),
        "left_out_rms_deg": round(float(np.sqrt(np.mean(turned**2))), 5),
        "reprojection_rms_px": round(report.rms, 4),
        "robot_noise_mm": round(1e3 * report.robot_noise[0], 4),
        "robot_noise_deg": round(float(np.degrees(report.robot_noise[1])), 5),
        "covariance_translation_m_rotation_vector_rad": [
            float(f"{v:.6g}") for v in report.covariance.ravel()
        ],
    }


def hand_eye_table(report: HandEyeReport) -> str:
    """The result for a person to read."""
    figures = quality(report)
    sigma = np.sqrt(np.diag(report.covariance))
    x, y, z = 1e3 * report.camera.translation
    sx, sy, sz = 1e3 * sigma[:3]
    lines = [f"left out {name}: it disagrees with the others" for name in report.rejected]
    return "\n".join(
        [
            *lines,
            f"samples               {figures['samples_used']} used, {len(report.rejected)} left out",
            f"camera at             x {x:.2f} ± {sx:.2f}, y {y:.2f} ± {sy:.2f}, z {z:.2f} ± {sz:.2f} mm",
            f"true pose within      {figures['bound95_mm']:.2f} mm, {figures['bound95_deg']:.3f} deg (95 %)",
            f"views left out        {figures['left_out_rms_mm']:.2f} mm, {figures['left_out_rms_deg']:.3f} deg (RMS)",
            f"reprojection          {report.rms:.2f} px through the whole chain (RMS)",
            f"robot's own error     {figures['robot_noise_mm']:.2f} mm, {figures['robot_noise_deg']:.3f} deg per axis",
        ]
    )


def intrinsics_table(report: IntrinsicsReport) -> str:
    """The result for a person to read."""
    pinhole, s = report.camera.pinhole, report.deviations
    used, share = int(np.sum(np.isfinite(report.view_rms))), report.coverage.share
    tips = [f"better: {tip}" for tip in report.coverage.advice()]
    if report.held_out_rms > 1.3 * report.rms:
        tips.append("better: the held-out error is much larger than the fit's; take more views")
    return "\n".join(
        [
            f"views                 {used} used, {len(report.rejected)} left out",
            f"reprojection error    {report.rms:.3f} px (RMS), {report.held_out_rms:.3f} px on held-out views",
            f"focal length          {pinhole.fx:.2f} ± {s[0]:.2f}, {pinhole.fy:.2f} ± {s[1]:.2f} px",
            f"centre                {pinhole.cx:.2f} ± {s[2]:.2f}, {pinhole.cy:.2f} ± {s[3]:.2f} px",
            f"distortion            {np.array2string(report.camera.distortion, precision=5, suppress_small=True)}",
            f"coverage              {share:.0%} of the image, tilt up to {report.coverage.steepest:.0f} deg",
            *tips,
        ]
    )

"""Camera calibration one can check: intrinsics, and where the camera is on the robot. OpenCV and SciPy, no ROS."""

from .board import Board, Corners
from .camera import BoardPose, CalibratedCamera, board_pose
from .errors import CalibrationError
from .hand_eye import HandEyeReport, Sample, calibrate_hand_eye
from .intrinsics import IntrinsicsReport, calibrate_intrinsics

__all__ = [
    "Board",
    "BoardPose",
    "CalibratedCamera",
    "CalibrationError",
    "Corners",
    "HandEyeReport",
    "IntrinsicsReport",
    "Sample",
    "board_pose",
    "calibrate_hand_eye",
    "calibrate_intrinsics",
]

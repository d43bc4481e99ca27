"""Camera model and rigid-body transforms. Plain numpy; one definition of each convention."""

from .camera import PinholeCamera
from .se3 import SE3, matrix_to_rotvec, rotvec_to_matrix

__all__ = ["SE3", "PinholeCamera", "matrix_to_rotvec", "rotvec_to_matrix"]

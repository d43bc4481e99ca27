"""Pictures of what the policy sees and plans, as plain arrays: no ROS, no window, numpy and OpenCV alone."""

from .cloud import POINT_DTYPE, coloured_cloud
from .draw import draw_caption, draw_plan, enlarge
from .features import FeaturePalette, overlay
from .grid import chosen_cells, grid_cells
from .plan import Plan
from .points import PointSet

__all__ = [
    "POINT_DTYPE",
    "FeaturePalette",
    "Plan",
    "PointSet",
    "chosen_cells",
    "coloured_cloud",
    "draw_caption",
    "draw_plan",
    "enlarge",
    "grid_cells",
    "overlay",
]

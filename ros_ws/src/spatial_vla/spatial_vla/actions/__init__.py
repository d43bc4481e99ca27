"""What the policy says: action chunks, and the adaptive grid that turns them into tokens and back."""

from .bin_policy import bin_policy_of, grid_from_bin_policy, read_processor_config
from .chunk import ActionChunk
from .ensemble import ActionEnsemble
from .gaussians import RELEASED_GAUSSIANS, ActionGaussians, uniform_grid
from .grid import ActionGrid
from .statistics import ActionStatistics
from .tokenizer import ActionTokenError, SpatialActionTokenizer

__all__ = [
    "ActionChunk",
    "ActionEnsemble",
    "ActionGrid",
    "ActionGaussians",
    "ActionStatistics",
    "ActionTokenError",
    "RELEASED_GAUSSIANS",
    "SpatialActionTokenizer",
    "bin_policy_of",
    "grid_from_bin_policy",
    "read_processor_config",
    "uniform_grid",
]

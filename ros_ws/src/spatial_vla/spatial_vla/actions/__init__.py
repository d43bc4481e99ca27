"""What the policy says: action chunks, and the adaptive grid that turns them into tokens and back."""

from .chunk import ActionChunk
from .grid import ActionGrid

__all__ = ["ActionChunk", "ActionGrid"]

"""What can be said to the robot: the grammar of instructions, and words as numbers."""

from .vocabulary import UnknownInstruction, Vocabulary

__all__ = ["UnknownInstruction", "Vocabulary"]

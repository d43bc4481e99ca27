"""Where things are relative to each other, where there is room, and questions about it. Numpy alone."""

from .boxes import BoxArray, OrientedBox
from .categories import Traits, traits_of
from .contact import Rules
from .relations import RelationTable, judge
from .scene import SceneObject, SpatialScene, SupportSurface, Uncertainty, floor_surface, top_surfaces
from .verdict import DIRECTIONS, FRAMES, OPPOSITE, RELATIONS, Frame, Judgement, Relation, Verdict

__all__ = [
    "BoxArray",
    "DIRECTIONS",
    "FRAMES",
    "Frame",
    "Judgement",
    "OPPOSITE",
    "OrientedBox",
    "RELATIONS",
    "Relation",
    "RelationTable",
    "Rules",
    "SceneObject",
    "SpatialScene",
    "SupportSurface",
    "Traits",
    "Uncertainty",
    "Verdict",
    "floor_surface",
    "judge",
    "top_surfaces",
    "traits_of",
]

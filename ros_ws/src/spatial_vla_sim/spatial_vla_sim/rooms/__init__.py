"""Rooms and table-tops of primitives and procedural textures, as posed RGB-D pictures for pre-training.

No GPU and no OpenGL: everything is ray casts and numpy, so equal seeds give equal pixels on every machine.
"""

from .build import PhotoScene, photo_scene
from .parts import CLASSES

__all__ = ["CLASSES", "PhotoScene", "photo_scene"]

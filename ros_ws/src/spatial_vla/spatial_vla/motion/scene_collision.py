"""Whether a link touches the surroundings: a table top and boxes that a person measured, by coal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from .limits import Obstacle
from .robot_model import RobotModel
from .self_collision import reduced_geometry

Array = NDArray[np.float64]


class SceneCollision:
    """Checks every link that moves against every obstacle. Not thread-safe."""

    def __init__(self, model: RobotModel, obstacles: Sequence[Obstacle], clearance: float) -> None:
        """Raises ValueError as :class:`~spatial_vla.motion.self_collision.SelfCollision` does."""
        import coal  # comes with pinocchio's wheel; without it no link can be kept apart from anything

        self._model, self._geometry = reduced_geometry(model)
        self._geometry.removeAllCollisionPairs()
        moving = [i for i, shape in enumerate(self._geometry.geometryObjects) if shape.parentJoint != 0]
        self._names: list[tuple[str, str]] = []
        for obstacle in obstacles:
            root = model.root_from_base.apply(np.array(obstacle.centre))
            placement = pin.SE3(model.root_from_base.rotation, root)
            shape = pin.GeometryObject(obstacle.name, 0, placement, coal.Box(*obstacle.size))
            number = self._geometry.addGeometryObject(shape)
            for i in moving:
                self._geometry.addCollisionPair(pin.CollisionPair(i, number))
                self._names.append((self._geometry.geometryObjects[i].name, obstacle.name))
        self._data, self._shapes = self._model.createData(), self._geometry.createData()
        for request in self._shapes.collisionRequests:
            request.security_margin = clearance

    def touching(self, q: Array) -> tuple[str, str] | None:
        """Names of a link's shape and the obstacle it is too near to at ``q`` (n,) [rad]; None if there are none."""
        if not pin.computeCollisions(self._model, self._data, self._geometry, self._shapes, q, True):
            return None
        first = next(i for i, r in enumerate(self._shapes.collisionResults) if r.isCollision())
        return self._names[first]

"""Whether links of the robot touch each other, from the collision shapes of the same URDF, by coal."""

from __future__ import annotations

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from .robot_model import RobotModel

Array = NDArray[np.float64]

#: Shapes that touch in more than this share of random poses only approximate their links; there is nothing to avoid.
APPROXIMATION = 0.25
POSES = 300


class SelfCollision:
    """Checks all pairs of shapes on different links but neighbours. Not thread-safe.

    Joints that are not the arm's are held at the upper end of their range: an open hand reaches farthest.
    """

    def __init__(self, model: RobotModel, clearance: float) -> None:
        """``clearance``: links nearer to each other than this [m] count as touching.

        Raises:
            ValueError: the URDF has no collision shapes, or names mesh files that are not there.
        """
        self._model, self._geometry = reduced_geometry(model)
        self._data = self._model.createData()
        self._choose(self._apart(), clearance)
        often = self._touching_often()
        kept = [pair for pair, touching in zip(self._pairs, often, strict=True) if not touching]
        self._choose(kept, clearance)
        if not kept:
            raise ValueError(
                "the URDF has no collision shapes on links that could touch each other; give them <collision> "
                "elements, or set self_clearance below 0 to go without the check"
            )

    def _apart(self) -> list[tuple[int, int]]:
        """Pairs of shapes on links with a link between them."""
        joints = [shape.parentJoint for shape in self._geometry.geometryObjects]
        parents = self._model.parents
        return [
            (i, j)
            for j in range(len(joints))
            for i in range(j)
            if joints[i] != joints[j] and joints[i] != parents[joints[j]] and joints[j] != parents[joints[i]]
        ]

    def _choose(self, pairs: list[tuple[int, int]], clearance: float) -> None:
        self._pairs = pairs
        self._geometry.removeAllCollisionPairs()
        for i, j in pairs:
            self._geometry.addCollisionPair(pin.CollisionPair(i, j))
        self._shapes = self._geometry.createData()
        for request in self._shapes.collisionRequests:
            request.security_margin = clearance

    def _touching_often(self) -> NDArray[np.bool_]:
        """(pairs,) True for what touches in a large share of random poses."""
        rng, counts = np.random.default_rng(0), np.zeros(len(self._pairs))
        for _ in range(POSES):
            q = rng.uniform(self._model.lowerPositionLimit, self._model.upperPositionLimit)
            pin.computeCollisions(self._model, self._data, self._geometry, self._shapes, q, False)
            counts += [result.isCollision() for result in self._shapes.collisionResults]
        return counts > APPROXIMATION * POSES

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names of the shapes that are checked against each other."""
        names = [shape.name for shape in self._geometry.geometryObjects]
        return tuple((names[i], names[j]) for i, j in self._pairs)

    def touching(self, q: Array) -> tuple[str, str] | None:
        """Names of two shapes that are too near to each other at ``q`` (n,) [rad]; None if there are none."""
        if not pin.computeCollisions(self._model, self._data, self._geometry, self._shapes, q, True):
            return None
        first = next(i for i, r in enumerate(self._shapes.collisionResults) if r.isCollision())
        return self.pairs[first]


def reduced_geometry(model: RobotModel) -> tuple[pin.Model, pin.GeometryModel]:
    """The arm and its collision shapes; other joints are at the upper end of their range.

    Raises:
        ValueError: coal or a mesh file is missing.
    """
    if not hasattr(pin, "computeCollisions"):
        raise ValueError(
            "this Pinocchio was built without coal, so links cannot be kept apart; install the wheel with "
            "`pip install pin`, or set self_clearance below 0 to go without the check"
        )
    full = pin.buildModelFromXML(model.urdf)
    try:
        shapes = pin.buildGeomFromUrdfString(full, model.urdf, pin.GeometryType.COLLISION)
    except ValueError as error:
        raise ValueError(
            f"collision shapes of the URDF cannot be loaded ({error}); put the folder that holds the meshes' "
            "packages on ROS_PACKAGE_PATH, or set self_clearance below 0 to go without the check"
        ) from error
    locked = [full.getJointId(name) for name in list(full.names)[1:] if name not in model.joints]
    reference = pin.neutral(full)
    for joint in locked:
        index = full.joints[joint].idx_q
        if full.joints[joint].nq == 1 and np.isfinite(full.upperPositionLimit[index]):
            reference[index] = full.upperPositionLimit[index]
    return pin.buildReducedModel(full, shapes, locked, reference)

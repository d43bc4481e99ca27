"""Messages that only the simulator sends."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS
from spatial_vla.nodes.conversions import header, pose_message
from spatial_vla_interfaces.msg import SimState

from .referee import judge
from .shapes import half_extents
from .world import World


def joint_state(world: World, stamp_ns: int) -> JointState:
    """Arm and finger joints of the world now."""
    message = JointState(header=header(stamp_ns, ""), name=[*ARM_JOINTS, *FINGER_JOINTS])
    positions, velocities, finger = world.joint_state()
    message.position = [*positions.tolist(), finger, finger]
    message.velocity = [*velocities.tolist(), 0.0, 0.0]
    return message


def sim_state(world: World, stamp_ns: int) -> SimState:
    """Ground truth and the referee's verdict now."""
    scene, outcome = world.scene, judge(world, world.scene)
    return SimState(
        header=header(stamp_ns, "world"),
        names=[item.name for item in scene.objects],
        poses=[pose_message(transform) for transform in world.object_poses()],
        sizes=[_vector(2.0 * half_extents(item.shape, item.size)) for item in scene.objects],
        target=scene.target.name,
        verb=scene.task.verb,
        success=outcome.success,
        failure=outcome.failure,
        distance=outcome.distance,
        distractor_displacement=outcome.distractor_displacement,
    )


def _vector(values: NDArray[np.float64]) -> Vector3:
    x, y, z = values.tolist()
    return Vector3(x=x, y=y, z=z)

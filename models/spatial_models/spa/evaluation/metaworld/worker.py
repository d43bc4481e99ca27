"""One Meta-World environment, served over standard input and output.

Started by ``client.MetaWorld`` with the interpreter of Meta-World's own environment; it knows nothing of this
repository but its neighbour ``ray_picture.py`` and ``other_python/pipe.py``.
Arguments: task, camera, picture size, renderer.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, BinaryIO

import numpy as np

SHADOWS_AND_MULTISAMPLING = 0  # MuJoCo's defaults cost fifty times as much on a CPU


class Environment:
    """A task with pictures, the state a robot knows of itself, and the scripted expert.

    Args:
        task: Meta-World's name, for example "hammer-v3". camera: of the scene, for example "corner2".
        size: side of the square picture [px]. renderer: "gl" (MuJoCo's own) or "rays".
    """

    def __init__(self, task: str, camera: str, size: int, renderer: str) -> None:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE as TASKS
        from metaworld.policies import ENV_POLICY_MAP

        if task not in ENV_POLICY_MAP:
            raise ValueError(f"no task {task!r} in Meta-World; there are {', '.join(sorted(ENV_POLICY_MAP))}")
        self.env = TASKS[f"{task}-goal-observable"](seed=0)
        # Without these two every reset would bring the same object and goal positions.
        self.env._freeze_rand_vec, self.env.seeded_rand_vec = False, True
        self.expert = ENV_POLICY_MAP[task]()
        cameras = [self.env.model.camera(i).name for i in range(self.env.model.ncam)]
        if camera not in cameras:
            raise ValueError(f"no camera {camera!r} in {task}; there are {', '.join(cameras)}")
        # The corner cameras hang upside down in Meta-World's scenes.
        self.turned = camera.startswith("corner")
        self.picture = (
            _gl_picture(self.env.model, camera, size) if renderer == "gl" else _rays(self.env, camera, size)
        )

    def reset(self, seed: int) -> dict[str, Any]:
        """Draw object and goal positions from ``seed``."""
        self.env.seed(int(seed))
        self.observation, _ = self.env.reset()
        return self._seen(success=False)

    def step(self, action: np.ndarray) -> dict[str, Any]:
        """Apply an action (4,): hand displacement in units of a centimetre and gripper effort, all in [-1, 1]."""
        self.observation, _, _, _, info = self.env.step(np.clip(action, -1.0, 1.0))
        return self._seen(success=bool(info["success"]))

    def expert_step(self) -> dict[str, Any]:
        """Let the scripted expert act; ``action`` is what it did."""
        action = np.clip(self.expert.get_action(self.observation), -1.0, 1.0)
        return self.step(action) | {"action": action.astype(np.float32)}

    def _seen(self, success: bool) -> dict[str, Any]:
        image = self.picture(self.env.data)
        return {
            "image": image[::-1, ::-1] if self.turned else image,
            "proprioception": self.observation[:4].astype(np.float32),
            "success": success,
        }


def _gl_picture(model: Any, camera: str, size: int) -> Any:
    import mujoco

    model.vis.quality.shadowsize = model.vis.quality.offsamples = SHADOWS_AND_MULTISAMPLING
    renderer = mujoco.Renderer(model, size, size)

    def picture(data: Any) -> np.ndarray:
        renderer.update_scene(data, camera=camera)
        return renderer.render()

    return picture


def _rays(env: Any, camera: str, size: int) -> Any:
    from ray_picture import RayPicture

    return RayPicture(env.model, camera, size)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end; an error is an answer too."""
    from pipe import receive, send

    task, camera, size, renderer = sys.argv[1:]
    try:
        environment = Environment(task, camera, int(size), renderer)
        send(replies, ready=True)
        while True:
            try:
                request = receive(requests)
            except EOFError:
                return
            arguments = [request["argument"]] if "argument" in request else []
            send(replies, **getattr(environment, str(request["call"]))(*arguments))
    except Exception as error:
        send(replies, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())


if __name__ == "__main__":
    # What libraries print must not get among the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, replies)

"""LIBERO tasks, served over standard input and output.

Started by ``client.LiberoEnvironment`` with the interpreter of LIBERO's own environment; it knows nothing of this
repository but the module ``pipe`` of ``other_python``. Arguments: suite, picture size.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, BinaryIO

import numpy as np

SETTLING = 10  # steps in which objects fall into place, as in OpenVLA's evaluation
STILL = [0.0] * 6 + [-1.0]


class Tasks:
    """The tasks of a suite, one at a time.

    Args:
        suite: LIBERO's name, for example "libero_goal". size: side of the picture [px].
    """

    def __init__(self, suite: str, size: int) -> None:
        from libero.libero import benchmark

        self.suite, self.size = benchmark.get_benchmark_dict()[suite](), size
        self.task = -1
        self.env: Any = None

    def reset(self, chosen: np.ndarray) -> dict[str, Any]:
        """Begin a task: its number, and the number of its initial state."""
        number, state = (int(i) for i in chosen)
        if number != self.task:
            self._open(number)
        states = self.suite.get_task_init_states(number)
        self.env.reset()
        seen = self.env.set_init_state(states[state % len(states)])
        for _ in range(SETTLING):
            seen, *_ = self.env.step(STILL)
        return self._seen(seen, 0, success=False)

    def step(self, actions: np.ndarray) -> dict[str, Any]:
        """Apply actions (n, 7) in the controller's units until the task is done."""
        done, count, seen = False, 0, {}
        for action in actions:
            seen, _, done, _ = self.env.step(action.tolist())
            count += 1
            if done:
                break
        return self._seen(seen, count, success=bool(done))

    def _open(self, number: int) -> None:
        from libero.libero import get_libero_path
        from libero.libero.envs import OffScreenRenderEnv

        count = self.suite.n_tasks
        if not 0 <= number < count:
            raise ValueError(f"task {number}; this suite has tasks 0 to {count - 1}")
        if self.env is not None:
            self.env.close()
        task = self.suite.get_task(number)
        path = os.path.join(get_libero_path("bddl_files"), task.problem_folder, task.bddl_file)  # noqa: PTH118
        self.env = OffScreenRenderEnv(bddl_file_name=path, camera_heights=self.size, camera_widths=self.size)
        self.env.seed(0)  # positions depend on it even with a given initial state
        self.task, self.instruction = number, task.language

    def _seen(self, seen: dict[str, Any], steps: int, success: bool) -> dict[str, Any]:
        return {
            # The picture comes turned by half a turn.
            "image": np.ascontiguousarray(seen["agentview_image"][::-1, ::-1]),
            "instruction": self.instruction,
            "position": np.asarray(seen["robot0_eef_pos"], dtype=np.float64),
            "quaternion": np.asarray(seen["robot0_eef_quat"], dtype=np.float64),
            "width": float(np.abs(seen["robot0_gripper_qpos"]).sum()),
            "steps": steps,
            "success": success,
        }


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end; an error is an answer too."""
    from pipe import receive, send

    suite, size = sys.argv[1:]
    try:
        tasks = Tasks(suite, int(size))
        send(replies, tasks=tasks.suite.n_tasks)
        while True:
            try:
                request = receive(requests)
            except EOFError:
                return
            send(replies, **getattr(tasks, str(request["call"]))(request["argument"]))
    except Exception as error:
        send(replies, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())


if __name__ == "__main__":
    # What libraries print must not get among the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, replies)

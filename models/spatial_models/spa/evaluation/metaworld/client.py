"""Our side of a Meta-World environment that runs in another process, under another interpreter."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from ....other_python import WorkerError, WorkerProcess, find_interpreter

Renderer = Literal["gl", "rays"]
HOW_TO_INSTALL = (
    "Meta-World pins mujoco==3.3.0, which would overwrite the MuJoCo of the simulation, so it gets an environment of "
    "its own:\n    python3 -m venv .venv-metaworld\n    .venv-metaworld/bin/pip install 'metaworld>=3.1,<4' packaging"
)


@dataclass(frozen=True, eq=False)
class Observation:
    """What the robot sees after a step.

    Attributes:
        image: (S, S, 3) uint8 RGB, upright.
        proprioception: (4,) float32, position of the hand [m] and opening of the gripper in [0, 1].
        success: whether the task counts as done at this moment.
        action: (4,) float32, what the expert did to get here; None after our own action.
    """

    image: NDArray[np.uint8]
    proprioception: NDArray[np.float32]
    success: bool
    action: NDArray[np.float32] | None = None


def interpreter(given: Path | None = None) -> Path:
    """The Python that has Meta-World: ``given``, or that of ``.venv-metaworld`` here or beside our own environment.

    Raises:
        FileNotFoundError: there is none; the message says how to make one.
    """
    return find_interpreter(".venv-metaworld", given, HOW_TO_INSTALL)


class MetaWorld:
    """One task in a process of its own.

    Args:
        task: for example "hammer-v3". camera: of Meta-World's scene. size: side of the picture [px].
        renderer: "gl" is MuJoCo's own, without shadows and multisampling; it wants EGL (or OSMesa, MUJOCO_GL=osmesa).
            "rays" needs no graphics library: flat colours, no textures, the same pixels on every machine.
        python: the interpreter; see :func:`interpreter`.

    Raises:
        FileNotFoundError: no interpreter with Meta-World. RuntimeError: the process could not start or has failed.
    """

    def __init__(
        self,
        task: str,
        camera: str = "corner2",
        size: int = 224,
        renderer: Renderer = "gl",
        python: Path | None = None,
    ) -> None:
        self.task = task
        # Without "disabled" MuJoCo looks for a graphics library as soon as it is imported.
        graphics = "disabled" if renderer == "rays" else os.environ.get("MUJOCO_GL", "egl")
        self._python = interpreter(python)
        self._worker = WorkerProcess(
            self._python,
            Path(__file__).with_name("worker.py"),
            [task, camera, str(size), renderer],
            {"MUJOCO_GL": graphics},
        )
        self._reply()

    @property
    def pid(self) -> int:
        """Process number of the environment."""
        return self._worker.pid

    def reset(self, seed: int) -> Observation:
        """Objects and goal drawn from ``seed``."""
        self.request("reset", seed)
        return self.observe()

    def step(self, action: ArrayLike) -> Observation:
        """Apply an action (4,), clipped to [-1, 1]: hand displacement [cm] and gripper effort."""
        self.request("step", np.asarray(action, dtype=np.float32))
        return self.observe()

    def expert_step(self) -> Observation:
        """Let Meta-World's scripted expert act."""
        self.request("expert_step")
        return self.observe()

    def request(self, call: str, argument: Any = None) -> None:
        """Ask without waiting, so that several environments work at once; :meth:`observe` gets the answer."""
        self._worker.request(call, argument)

    def observe(self) -> Observation:
        """Wait for the answer of the last :meth:`request`."""
        reply = self._reply()
        return Observation(
            reply["image"], reply["proprioception"], bool(reply["success"]), reply.get("action")
        )

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reply(self) -> dict[str, NDArray[Any]]:
        try:
            return self._worker.reply()
        except WorkerError as error:
            raise RuntimeError(self._explained(str(error), error.trace)) from None

    def _explained(self, error: str, trace: str) -> str:
        if "metaworld" in error and "ModuleNotFoundError" in error:
            return f"{self._python} has no Meta-World ({error}). {HOW_TO_INSTALL}"
        if "_gl_picture" in trace or "gl_context" in trace:
            return (
                f"Meta-World ({self.task}) cannot draw with OpenGL ({error}): install a driver (Debian: apt-get "
                "install libegl1 libgl1, or libosmesa6 and MUJOCO_GL=osmesa), or use the renderer 'rays' without any"
            )
        return f"Meta-World ({self.task}): {error}"

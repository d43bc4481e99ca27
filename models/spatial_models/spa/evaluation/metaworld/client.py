"""Our side of a Meta-World environment that runs in another process, under another interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from .pipe import receive, send

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
    homes = dict.fromkeys((Path.cwd(), Path(sys.prefix).parent))
    places = [given] if given else [home / ".venv-metaworld/bin/python" for home in homes]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"no Python with Meta-World at {' or '.join(map(str, places))}. {HOW_TO_INSTALL}")


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
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        # Without this MuJoCo looks for a graphics library as soon as it is imported.
        graphics = {"MUJOCO_GL": "disabled"} if renderer == "rays" else {}
        environment = {"MUJOCO_GL": "egl"} | os.environ | graphics | {"PYTHONWARNINGS": "ignore"}
        command = [str(interpreter(python)), str(Path(__file__).with_name("worker.py"))]
        self._process = subprocess.Popen(
            [*command, task, camera, str(size), renderer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
        )
        self._reply()

    @property
    def pid(self) -> int:
        """Process number of the environment."""
        return self._process.pid

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
        arguments = {} if argument is None else {"argument": argument}
        try:
            send(self._process.stdin, call=call, **arguments)  # type: ignore[arg-type]
        except BrokenPipeError:
            self._reply()

    def observe(self) -> Observation:
        """Wait for the answer of the last :meth:`request`."""
        reply = self._reply()
        return Observation(
            reply["image"], reply["proprioception"], bool(reply["success"]), reply.get("action")
        )

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.stdin.close()  # type: ignore[union-attr]
            self._process.wait(timeout=10)
        self._process.stdout.close()  # type: ignore[union-attr]
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reply(self) -> dict[str, Any]:
        try:
            reply = receive(self._process.stdout)  # type: ignore[arg-type]
        except EOFError:
            self._process.wait()
            raise RuntimeError(
                f"Meta-World's process ended with status {self._process.returncode}: {self._last_words()}"
            ) from None
        if "error" in reply:
            raise RuntimeError(self._explained(str(reply["error"]), str(reply["trace"])))
        return reply

    def _explained(self, error: str, trace: str) -> str:
        if "metaworld" in error and "ModuleNotFoundError" in error:
            return f"{self._process.args[0]} has no Meta-World ({error}). {HOW_TO_INSTALL}"  # type: ignore[index]
        if "_gl_picture" in trace or "gl_context" in trace:
            return (
                f"Meta-World ({self.task}) cannot draw with OpenGL ({error}): install a driver (Debian: apt-get "
                "install libegl1 libgl1, or libosmesa6 and MUJOCO_GL=osmesa), or use the renderer 'rays' without any"
            )
        return f"Meta-World ({self.task}): {error}"

    def _last_words(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace").strip()[-800:] or "it said nothing"

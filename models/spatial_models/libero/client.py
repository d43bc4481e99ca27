"""Our side of a LIBERO task that runs in another process, under another interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from spatial_vla.actions import ActionChunk
from spatial_vla.evaluation import Observation, Verdict
from spatial_vla.geometry import SE3

from ..spa.evaluation.metaworld import pipe

Suite = Literal["libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90"]
#: Steps that an episode may take: somewhat more than the longest demonstration of the suite, as OpenVLA counts.
MOST_STEPS = {
    "libero_spatial": 220,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}
STEP_NS = 50_000_000  # 20 Hz
#: Metres and radians of a full deflection of LIBERO's controller (robosuite's OSC_POSE).
FULL_STEP = np.array([0.05] * 3 + [0.5] * 3)
HOW_TO_INSTALL = (
    "LIBERO pins mujoco==3.3.0, which would overwrite the MuJoCo of the simulation, so it gets an environment of its "
    "own:\n    python3 -m venv .venv-libero\n    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu "
    ".venv-libero/bin/pip install libero\nIts scenes (206 MB) are fetched when it is first used."
)


def interpreter(given: str | Path | None = None) -> Path:
    """The Python that has LIBERO: ``given``, or that of ``.venv-libero`` here or beside our own environment.

    Raises:
        FileNotFoundError: there is none; the message says how to make one.
    """
    homes = dict.fromkeys((Path.cwd(), Path(sys.prefix).parent))
    places = [Path(given)] if given else [home / ".venv-libero/bin/python" for home in homes]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"no Python with LIBERO at {' or '.join(map(str, places))}. {HOW_TO_INSTALL}")


class LiberoEnvironment:
    """See :class:`spatial_vla.evaluation.Environment`. A seed is a task and one of its 50 initial states.

    Args:
        suite: libero_spatial, libero_object, libero_goal, libero_10 or libero_90.
        task: number of the task in the suite; None goes through them: seed s is task s mod n, initial state s div n.
        units: of the chunks: "controller" is what LIBERO's data holds, [-1, 1] per axis, and what a policy trained on
            them says; "si" is metres and radians.
        size: side of the image [px]. python: the interpreter; see :func:`interpreter`.

    Raises:
        FileNotFoundError: no interpreter with LIBERO. ValueError: the suite or the units are unknown.
        RuntimeError: the process could not start or has failed; the message holds its last words.
    """

    def __init__(
        self,
        suite: Suite = "libero_spatial",
        task: int | None = None,
        units: Literal["controller", "si"] = "controller",
        size: int = 256,
        python: str | Path | None = None,
    ) -> None:
        if suite not in MOST_STEPS or units not in ("controller", "si"):
            raise ValueError(
                f"suite {suite!r}, units {units!r}; expected one of {', '.join(MOST_STEPS)}, and controller or si"
            )
        self.task, self.most_steps = task, MOST_STEPS[suite]
        self._full = FULL_STEP if units == "si" else np.ones(6)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        path = os.pathsep.join(filter(None, (str(Path(pipe.__file__).parent), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [str(interpreter(python)), str(Path(__file__).with_name("worker.py")), suite, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={"MUJOCO_GL": "egl"} | os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
        )
        self.tasks = int(self._reply()["tasks"])
        self._success, self._steps = False, 0

    def reset(self, seed: int) -> Observation:
        """A task's initial state, after the objects have come to rest."""
        task, state = (seed % self.tasks, seed // self.tasks) if self.task is None else (self.task, seed)
        self._success, self._steps = False, 0
        return self._observation(self._ask("reset", [task, state]))

    def step(self, chunk: ActionChunk, steps: int) -> Observation:
        """Do the first ``steps`` steps, or fewer if the task is done before."""
        # LIBERO's gripper is -1 open and 1 closed.
        actions = np.column_stack((chunk.deltas / self._full, np.where(chunk.gripper >= 0.5, -1.0, 1.0)))
        reply = self._ask("step", np.clip(actions[:steps], -1.0, 1.0))
        self._steps += int(reply["steps"])
        self._success = bool(reply["success"])
        return self._observation(reply)

    @property
    def ended(self) -> bool:
        """True once the task is done; LIBERO's episodes end there."""
        return self._success

    def verdict(self) -> Verdict:
        """LIBERO's own."""
        return Verdict(self._success, "" if self._success else "not_done")

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.stdin.close()  # type: ignore[union-attr]
            self._process.wait(timeout=20)
        self._process.stdout.close()  # type: ignore[union-attr]
        self._said.close()

    def _observation(self, reply: dict[str, NDArray[Any]]) -> Observation:
        return Observation(
            image=reply["image"],
            instruction=str(reply["instruction"]),
            stamp_ns=self._steps * STEP_NS,
            base_from_tcp=SE3.from_quaternion(reply["position"], reply["quaternion"]),
            gripper_width=float(reply["width"]),
        )

    def _ask(self, call: str, argument: Any) -> dict[str, NDArray[Any]]:
        with suppress(BrokenPipeError):  # the reply says why
            pipe.send(self._process.stdin, call=call, argument=argument)  # type: ignore[arg-type]
        return self._reply()

    def _reply(self) -> dict[str, NDArray[Any]]:
        try:
            reply = pipe.receive(self._process.stdout)  # type: ignore[arg-type]
        except EOFError:
            self._process.wait()
            self._said.seek(0)
            words = self._said.read().decode(errors="replace").strip()[-800:] or "it said nothing"
            raise RuntimeError(
                f"LIBERO's process ended with status {self._process.returncode}: {words}"
            ) from None
        if "error" in reply:
            missing = "ModuleNotFoundError" in str(reply["error"])
            raise RuntimeError(f"LIBERO: {reply['error']}{'. ' + HOW_TO_INSTALL if missing else ''}")
        return reply

"""Our side of a LIBERO task that runs in another process, under another interpreter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from spatial_vla.actions import ActionChunk
from spatial_vla.evaluation import Observation, Verdict
from spatial_vla.geometry import SE3

from ..other_python import WorkerError, WorkerProcess, find_interpreter

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


class LiberoEnvironment:
    """See :class:`spatial_vla.evaluation.Environment`. A seed is a task and one of its 50 initial states.

    Args:
        suite: libero_spatial, libero_object, libero_goal, libero_10 or libero_90.
        task: number of the task in the suite; None goes through them: seed s is task s mod n, initial state s div n.
        units: of the chunks: "controller" is what LIBERO's data holds, [-1, 1] per axis, and what a policy trained on
            them says; "si" is metres and radians.
        size: side of the image [px].
        python: the interpreter of LIBERO; None takes that of ``.venv-libero`` here or beside our own environment.

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
        self._worker = WorkerProcess(
            find_interpreter(".venv-libero", python, HOW_TO_INSTALL),
            Path(__file__).with_name("worker.py"),
            [suite, str(size)],
            {"MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")},
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
        self._worker.close()

    def _observation(self, reply: dict[str, NDArray[Any]]) -> Observation:
        return Observation(
            image=reply["image"],
            instruction=str(reply["instruction"]),
            stamp_ns=self._steps * STEP_NS,
            base_from_tcp=SE3.from_quaternion(reply["position"], reply["quaternion"]),
            gripper_width=float(reply["width"]),
        )

    def _ask(self, call: str, argument: Any) -> dict[str, NDArray[Any]]:
        self._worker.request(call, argument)
        return self._reply()

    def _reply(self) -> dict[str, NDArray[Any]]:
        try:
            return self._worker.reply()
        except WorkerError as error:
            missing = "ModuleNotFoundError" in str(error)
            raise RuntimeError(f"LIBERO: {error}{'. ' + HOW_TO_INSTALL if missing else ''}") from None

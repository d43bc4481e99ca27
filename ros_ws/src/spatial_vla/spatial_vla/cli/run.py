"""``spatial-vla run``: everything at once, a few tasks, and a report."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from .report import Report


@dataclass
class Run:
    """Start everything with a simulated robot, let it do some tasks, and write a report."""

    tasks: int = 3
    """How many tasks; each has a scene of its own."""

    seed: int = 1
    """Seed of the first scene; the next ones follow."""

    task: Literal["", "touch", "point", "pick"] = ""
    """Kind of task; drawn from the seed if empty."""

    timeout: float = 30.0
    """Simulated seconds that one task may take."""

    output: Path = Path("runs")
    """Folder in which the run gets a folder of its own."""

    rviz: bool = False
    """Open rviz, where it is installed."""

    def run(self) -> int:
        """Return 0 when every task was tried, done or not; 1 when something broke; 130 when interrupted."""
        from spatial_vla.bringup.arguments import BringupArguments

        from .session import Interrupted, RunFailed, TaskPlan, TaskResults, run_tasks

        folder = self.output / datetime.now().strftime("%Y%m%d-%H%M%S")
        folder.mkdir(parents=True)
        plan = TaskPlan(self.tasks, self.seed, self.task, self.timeout)
        arguments = BringupArguments(rviz=self.rviz, record=str(folder))
        results, code = TaskResults(), 0
        try:
            run_tasks(plan, arguments, folder / "nodes.log", results)
        except RunFailed as error:
            print(f"spatial-vla run: {error}", file=sys.stderr)
            code = 1
        except Interrupted:
            code = 130
        if results.outcomes:
            tasks = [asdict(outcome) for outcome in results.outcomes]
            (folder / "tasks.json").write_text(json.dumps(tasks, indent=1) + "\n")
            print(f"{sum(outcome.success for outcome in results.outcomes)} of {len(tasks)} tasks done.")
        if code:
            print(f"What was recorded is kept: spatial-vla report {folder}", file=sys.stderr)
            return code
        return Report(folder).run()

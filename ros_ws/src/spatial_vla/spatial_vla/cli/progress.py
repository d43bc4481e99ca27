"""Progress lines on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Display
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from spatial_vla.nodes.episode_client import Progress


class InstructionLine:
    """One line that shows how an instruction is getting on; a context manager. Goes to stderr."""

    def __init__(self, label: str) -> None:
        self._display = Display(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            # Without a terminal a line that repaints itself is only noise.
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._display.add_task(label)
        self._label = label

    def __enter__(self) -> InstructionLine:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def label(self, text: str) -> None:
        """Show another text in front."""
        self._label = text
        self._display.update(self._task, description=text)

    def update(self, progress: Progress) -> None:
        """Show the latest feedback."""
        reason = f" ({progress.reason})" if progress.reason else ""
        self._display.update(
            self._task,
            description=f"{self._label}  {progress.state.lower()}{reason}, chunk {progress.chunks} "
            f"in {progress.chunk_ms:.0f} ms",
        )

"""Reads the command line and runs the command that it names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import tyro

from .ask_spatial import AskSpatial
from .bringup import Bringup
from .calibrate import Calibrate
from .doctor import Doctor
from .eval import Eval
from .report import Report
from .run import Run
from .say import Say


class Command(Protocol):
    """One command: a dataclass whose fields are its arguments."""

    def run(self) -> int:
        """Do it; return the exit code."""
        ...


COMMANDS: dict[str, type[Any]] = {
    "run": Run,
    "bringup": Bringup,
    "say": Say,
    "ask-spatial": AskSpatial,
    "doctor": Doctor,
    "eval": Eval,
    "report": Report,
    "calibrate": Calibrate,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; ``arguments`` default to the process's."""
    command: Command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="spatial-vla",
        description="Camera frames and a sentence in, safe robot motion out.",
        args=arguments,
    )
    sys.exit(command.run())

"""``spatial-vla report``: the page and the film of a run that was recorded."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class Report:
    """Write report.html and a film of a recorded run: what was asked, done and seen, and how long each stage took."""

    folder: tyro.conf.Positional[Path]
    """Folder with the run's bag, for example runs/20260131-120000."""

    def run(self) -> int:
        """Return 0 when the page is written, 1 when there is no such run or a library is missing."""
        try:
            from spatial_vla.report import write_report
        except ImportError as error:
            print(f"spatial-vla report: {error}; pip install 'spatial_vla[report]'", file=sys.stderr)
            return 1
        print("writing the report ...", flush=True)
        try:
            print(f"Report: {write_report(self.folder).resolve()}")
        except FileNotFoundError as error:
            print(f"spatial-vla report: {error}", file=sys.stderr)
            return 1
        return 0

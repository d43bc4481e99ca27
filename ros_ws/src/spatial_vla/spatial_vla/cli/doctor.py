"""``spatial-vla doctor``: what is there, what is missing, and how to get it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass
class Doctor:
    """Check the installation and look at the running graph."""

    json: bool = False
    """Print one JSON object instead of a table."""

    graph: bool = True
    """Look for running nodes, which takes a second or two."""

    def run(self) -> int:
        """Return 0 when nothing that is needed is missing, else 1."""
        from .checks import Check, installation_checks
        from .graph_checks import graph_checks

        checks: list[Check] = installation_checks()
        if self.graph:
            checks += graph_checks()
        healthy = all(check.status != "missing" for check in checks)
        if self.json:
            report = {"healthy": healthy, "checks": [asdict(check) for check in checks]}
            print(json.dumps(report, indent=1))
        else:
            _print_table(checks)
        return 0 if healthy else 1


def _print_table(checks: list) -> None:
    from rich.console import Console
    from rich.table import Table

    styles = {"ok": "green", "absent": "yellow", "missing": "red"}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for check in checks:
        remedy = f"\n→ {check.remedy}" if check.remedy else ""
        table.add_row(f"[{styles[check.status]}]{check.status}[/]", check.name, f"{check.found}{remedy}")
    Console(highlight=False).print(table)

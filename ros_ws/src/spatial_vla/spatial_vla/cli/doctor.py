"""``spatial-vla doctor``: what is there, what is missing, and how to get it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .health import LEVELS, NodeHealth, health_of_run, rows

ERROR = LEVELS.index("ERROR")


@dataclass
class Doctor:
    """Check the installation, and read what the nodes say of themselves: in the running graph, or in a recorded run."""

    json: bool = False
    """Print one JSON object instead of tables."""

    graph: bool = True
    """Look for running nodes and listen to their diagnostics, which takes a few seconds."""

    bag: str = ""
    """Folder of a recorded run, or of a bag: print its diagnostics, and nothing else."""

    def run(self) -> int:
        """Return 0 when nothing that is needed is missing and no node ended in error, else 1."""
        if self.bag:
            return self._run_bag()
        from .checks import Check, installation_checks
        from .graph_checks import graph_checks, graph_health

        checks: list[Check] = installation_checks()
        nodes = {}
        if self.graph:
            checks += graph_checks()
            nodes = graph_health() if any(c.name == "graph" and c.status == "ok" for c in checks) else {}
        healthy = all(check.status != "missing" for check in checks) and not _in_error(nodes)
        if self.json:
            report = {
                "healthy": healthy,
                "checks": [asdict(check) for check in checks],
                "nodes": _plain(nodes),
            }
            print(json.dumps(report, indent=1))
        else:
            _print_table(checks)
            _print_health(nodes)
        return 0 if healthy else 1

    def _run_bag(self) -> int:
        import sys
        from pathlib import Path

        try:
            nodes = health_of_run(Path(self.bag).expanduser())
        except ImportError as error:
            print(f"spatial-vla doctor: {error}; pip install 'spatial_vla[report]'", file=sys.stderr)
            return 1
        except FileNotFoundError as error:
            print(f"spatial-vla doctor: {error}", file=sys.stderr)
            return 1
        if not nodes:
            print(f"spatial-vla doctor: {self.bag} has no message on /diagnostics", file=sys.stderr)
            return 1
        healthy = not _in_error(nodes)
        if self.json:
            print(json.dumps({"healthy": healthy, "nodes": _plain(nodes)}, indent=1))
        else:
            _print_health(nodes)
        return 0 if healthy else 1


def _in_error(nodes: dict[str, NodeHealth]) -> bool:
    return any(node.level >= ERROR for node in nodes.values())


def _plain(nodes: dict[str, NodeHealth]) -> dict[str, Any]:
    return {name: asdict(node) for name, node in nodes.items()}


def _print_health(nodes: dict[str, NodeHealth]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    styles = ("green", "yellow", "red", "red")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, node in nodes.items():
        table.add_row(
            f"[{styles[node.level]}]{LEVELS[node.level]}[/]", f"[bold]{name}[/]", escape(node.message)
        )
        if node.worst[0] > node.level:
            table.add_row("", "was", f"{LEVELS[node.worst[0]]}: {escape(node.worst[1])}")
        for label, text in rows(node):
            table.add_row("", f"  {label}", text)
    Console(highlight=False).print(table)


def _print_table(checks: list) -> None:
    from rich.console import Console
    from rich.table import Table

    styles = {"ok": "green", "absent": "yellow", "missing": "red"}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for check in checks:
        remedy = f"\n→ {check.remedy}" if check.remedy else ""
        table.add_row(f"[{styles[check.status]}]{check.status}[/]", check.name, f"{check.found}{remedy}")
    Console(highlight=False).print(table)

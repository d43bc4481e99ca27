"""``spatial-vla bringup``: start the nodes and look after them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from spatial_vla.bringup.arguments import BringupArguments

from .signals import stop_on_signal


@dataclass
class Bringup:
    """Start the nodes, and the simulated robot unless told not to; Ctrl-C ends them."""

    arguments: Annotated[BringupArguments, tyro.conf.arg(name="")] = field(default_factory=BringupArguments)

    def run(self) -> int:
        """Run until interrupted (0) or until a required node is gone for good (1)."""
        from spatial_vla.bringup.domain import DomainTaken, claimed_domain
        from spatial_vla.bringup.node_list import bringup_nodes
        from spatial_vla.bringup.runner import Runner, run_until_stopped

        stop = stop_on_signal()
        try:
            with claimed_domain(self.arguments.namespace):
                return run_until_stopped(Runner(bringup_nodes(self.arguments)), stop)
        except (FileNotFoundError, DomainTaken) as error:
            print(f"spatial-vla bringup: {error}", file=sys.stderr)
            return 1

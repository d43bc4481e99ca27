"""Checks of the running graph."""

from __future__ import annotations

import os

from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.environment import join_graph
from spatial_vla.bringup.node_list import bringup_nodes

from .checks import Check
from .health import NodeHealth, health


def graph_checks() -> list[Check]:
    """Say which nodes of a default bring-up are visible, and how many topics."""
    join_graph()
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    try:
        from spatial_vla.nodes.graph_view import look_at_graph

        view = look_at_graph()
    except Exception as error:  # A middleware that does not start is a finding, whatever it raises.
        return [Check("graph", "missing", f"{type(error).__name__}: {error}", "./setup")]
    if not view.nodes:
        return [Check("graph", "absent", f"no node in DDS domain {domain}", "spatial-vla bringup")]
    running = {name.rsplit("/", 1)[1] for name in view.nodes}
    expected = [entry.name for entry in bringup_nodes(BringupArguments())]
    checks = [
        Check("graph", "ok", f"{len(view.nodes)} nodes, {len(view.topics)} topics in DDS domain {domain}")
    ]
    checks += [
        Check(f"node {name}", *(("ok", "running") if name in running else ("absent", "not running")))
        for name in expected
    ]
    return checks


def graph_health() -> dict[str, NodeHealth]:
    """What the running nodes say of themselves, by name."""
    from spatial_vla.nodes.graph_view import listen_to_diagnostics

    return health(listen_to_diagnostics())

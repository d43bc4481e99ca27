"""Running a node as a process, from the command line to a clean exit."""

from __future__ import annotations

import gc
import sys

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.utilities import try_shutdown

from .spatial_node import SpatialNode

EXIT_OK = 0
# A parameter was invalid, or the node could not be configured or activated; its log says why.
EXIT_REFUSED = 3


def run_node(node_class: type[SpatialNode], args: list[str] | None = None) -> int:
    """Construct, start and spin a node until it is interrupted, then tidy up.

    Returns:
        0 after an interrupt or an external shutdown, 3 if the node refused to start. Any other error propagates,
        so the process ends with a traceback and exit code 1.
    """
    node: SpatialNode | None = None
    try:
        rclpy.init(args=args)
        node = _construct(node_class)
        if node is None:
            return EXIT_REFUSED
        if node.value("autostart") and not _autostart(node):
            return EXIT_REFUSED
        # What has been loaded by now stays for good; looking through it again and again would cost milliseconds.
        gc.collect()
        gc.freeze()
        # Not rclpy's EventsExecutor: in Jazzy it hangs with timers on simulated time.
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        _tidy_up(node)
    return EXIT_OK


def _construct(node_class: type[SpatialNode]) -> SpatialNode | None:
    try:
        return node_class()
    except ParameterException as error:
        get_logger(node_class.default_name).fatal(str(error))
        return None


def _autostart(node: SpatialNode) -> bool:
    steps = (node.trigger_configure, node.trigger_activate)
    return all(step() is TransitionCallbackReturn.SUCCESS for step in steps)


def _tidy_up(node: SpatialNode | None) -> None:
    # A second interrupt may arrive at any point in here; it must not end in a traceback.
    try:
        if node is not None:
            node.destroy_node()
        try_shutdown()
    except KeyboardInterrupt:
        pass


def main_of(node_class: type[SpatialNode]) -> None:
    """Entry point body: ``def main() -> None: main_of(MyNode)``."""
    sys.exit(run_node(node_class))

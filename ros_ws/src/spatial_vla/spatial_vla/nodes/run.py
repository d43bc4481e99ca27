"""Running a node as a process, from the command line to a clean exit."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from .interrupt import Interrupt
from .spatial_node import SpatialNode

EXIT_OK = 0
# A parameter was invalid, or the node could not be configured or activated; its log says why.
EXIT_REFUSED = 3


def run_node(node_class: type[SpatialNode], args: list[str] | None = None) -> int:
    """Construct, start and spin a node until it is interrupted, then deactivate it and tidy up.

    Returns:
        0 after an interrupt or an external shutdown, 3 if the node refused to start. Any other error propagates,
        so the process ends with a traceback and exit code 1.
    """
    interrupt = Interrupt()
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        return _live(node_class, interrupt)
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        interrupt.end()  # impatience while the node has already ended must not end in a traceback
        try_shutdown()


def _live(node_class: type[SpatialNode], interrupt: Interrupt) -> int:
    """A node's life inside an initialised context."""
    node: SpatialNode | None = None
    try:
        # Not rclpy's EventsExecutor: in Jazzy it hangs with timers on simulated time.
        executor = SingleThreadedExecutor()
        node = node_class()
        executor.add_node(node)
        if node.value("autostart") and not _autostart(node, interrupt):
            return EXIT_REFUSED if rclpy.ok() and not interrupt.came else EXIT_OK
        # What has been loaded by now stays for good; looking through it again and again would cost milliseconds.
        gc.collect()
        gc.freeze()
        interrupt.spin(executor)
    except ParameterException as error:
        get_logger(node_class.default_name).fatal(str(error))
        return EXIT_REFUSED
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # What the end of the context or an interrupt breaks off fails in a way of its own.
        if rclpy.ok() and not interrupt.came:
            raise
    finally:
        with suppress(KeyboardInterrupt):
            if node is not None:
                _end(node)
    return EXIT_OK


def _end(node: SpatialNode) -> None:
    """Whatever the node ends of, it ceases to work in order: an arm that moves is stopped."""
    if node.active and rclpy.ok():
        node.trigger_deactivate()
        node.trigger_cleanup()  # a planner's process is ended only after it has obeyed
    node.destroy_node()


def _autostart(node: SpatialNode, interrupt: Interrupt) -> bool:
    if node.trigger_configure() is not TransitionCallbackReturn.SUCCESS:
        return False
    interrupt.defer()  # models are loaded by now, and the rest is quick
    return node.trigger_activate() is TransitionCallbackReturn.SUCCESS


def main_of(node_class: type[SpatialNode]) -> None:
    """Entry point body: ``def main() -> None: main_of(MyNode)``."""
    sys.exit(run_node(node_class))

"""Running a node as a process, from the command line to a clean exit."""

from __future__ import annotations

import gc
import signal
import sys
from contextlib import suppress

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
    """Construct, start and spin a node until it is interrupted, then tidy up; interrupts are ignored from then on.

    Returns:
        0 after an interrupt or an external shutdown, 3 if the node refused to start. Any other error propagates,
        so the process ends with a traceback and exit code 1.
    """
    try:
        rclpy.init(args=args)
        return _live(node_class)
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        # Impatience while the node is already ending must not end in a traceback. rclpy's own handlers, which it takes
        # away with the context, let further interrupts through until then.
        with suppress(KeyboardInterrupt):
            try_shutdown()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _live(node_class: type[SpatialNode]) -> int:
    """A node's life inside an initialised context."""
    node: SpatialNode | None = None
    try:
        # Not rclpy's EventsExecutor: in Jazzy it hangs with timers on simulated time.
        executor = SingleThreadedExecutor()
        node = node_class()
        executor.add_node(node)
        if node.value("autostart") and not _autostart(node):
            return EXIT_REFUSED if rclpy.ok() else EXIT_OK
        # What has been loaded by now stays for good; looking through it again and again would cost milliseconds.
        gc.collect()
        gc.freeze()
        executor.spin()
    except ParameterException as error:
        get_logger(node_class.default_name).fatal(str(error))
        return EXIT_REFUSED
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # An interrupt shuts the context down, and what was being done with it just then fails in a way of its own.
        if rclpy.ok():
            raise
    finally:
        with suppress(KeyboardInterrupt):
            if node is not None:
                node.destroy_node()
    return EXIT_OK


def _autostart(node: SpatialNode) -> bool:
    steps = (node.trigger_configure, node.trigger_activate)
    return all(step() is TransitionCallbackReturn.SUCCESS for step in steps)


def main_of(node_class: type[SpatialNode]) -> None:
    """Entry point body: ``def main() -> None: main_of(MyNode)``."""
    sys.exit(run_node(node_class))

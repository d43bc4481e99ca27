"""`spatial-vla say` against a real action server."""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import rclpy
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from spatial_vla_interfaces.action import FollowInstruction

PROGRAM = Path(sys.executable).with_name("spatial-vla")


class Server(Node):
    """Obeys "touch ..." at once, and works on "wait ..." until cancelled."""

    def __init__(self, context):
        super().__init__("instruction_node", context=context)
        self.cancelled = threading.Event()
        self.accepted = threading.Event()
        self.server = ActionServer(
            self,
            FollowInstruction,
            "follow_instruction",
            self.obey,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def obey(self, handle):
        self.accepted.set()
        feedback = FollowInstruction.Feedback(state="RUNNING", elapsed=0.5, chunks=3, chunk_ms=12.0)
        handle.publish_feedback(feedback)
        while handle.request.instruction.startswith("wait"):
            time.sleep(0.02)
            if handle.is_cancel_requested:
                handle.canceled()
                self.cancelled.set()
                return FollowInstruction.Result(message="cancelled")
        handle.succeed()
        done = handle.request.instruction.startswith("touch")
        return FollowInstruction.Result(
            success=done, message="" if done else "timeout", duration=1.5, chunks=7
        )


@pytest.fixture(scope="module")
def server():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Server(context)
    executor = MultiThreadedExecutor(2, context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown()
    rclpy.try_shutdown(context=context)
    thread.join(5)


def say(text):
    return subprocess.run(
        [str(PROGRAM), "say", text], capture_output=True, text=True, check=False, timeout=60
    )


def test_an_instruction_that_is_obeyed(server):
    done = say("touch the red cube")
    assert done.returncode == 0, done.stderr
    assert re.search(r"done after 1\.5 s and 7 chunks", done.stdout)


def test_an_instruction_that_is_not(server):
    done = say("fly")
    assert done.returncode == 1
    assert "not done" in done.stdout and "timeout" in done.stdout


def test_an_interrupt_cancels(server):
    server.accepted.clear()
    # A test run in the background of a script is started with interrupts ignored, and so would be its children.
    program = subprocess.Popen(
        [str(PROGRAM), "say", "wait for me"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert server.accepted.wait(30)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 130, errors
    assert server.cancelled.wait(30)
    assert "Traceback" not in errors

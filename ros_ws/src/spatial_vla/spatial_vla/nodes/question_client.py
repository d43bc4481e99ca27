"""Asks the running graph where things are."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from spatial_vla_interfaces.srv import AskSpatial

from .requests import Requests


class QuestionClient:
    """A client of ``ask_spatial`` that spins in a thread of its own; a context manager."""

    def __init__(self, namespace: str = "") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = Node("question_client", namespace=namespace, context=self._context)
        self._client = self._node.create_client(AskSpatial, "ask_spatial")
        self._closing = threading.Event()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._requests = Requests(self._executor, self._closing)
        self._thread = threading.Thread(target=self._spin, name="question_client", daemon=True)
        self._thread.start()

    def __enter__(self) -> QuestionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._executor.shutdown(timeout_sec=1.0)
        rclpy.try_shutdown(context=self._context)
        self._thread.join(timeout=2.0)

    def ask(self, question: str) -> AskSpatial.Response:
        """The answer, or the reason why there is none (``success`` is False).

        Raises:
            NoAnswer: there is no such service in the graph.
        """
        request = AskSpatial.Request(question=question)
        answer: Any = self._requests.ask(lambda: self._client.call_async(request), "ask_spatial").result()
        return answer

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

"""Asks the running graph where things are."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.node import Node
from spatial_vla_interfaces.srv import AskSpatial

from .background_executor import BackgroundExecutor
from .requests import Requests


class QuestionClient:
    """A client of ``ask_spatial`` that spins in a thread of its own; a context manager."""

    def __init__(self, namespace: str = "") -> None:
        self._background = BackgroundExecutor("question_client")
        self._node = Node("question_client", namespace=namespace, context=self._background.context)
        self._client = self._node.create_client(AskSpatial, "ask_spatial")
        self._closing = threading.Event()
        self._requests = Requests(self._background.executor, self._closing)
        self._background.spin(self._node)

    def __enter__(self) -> QuestionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._background.close()

    def ask(self, question: str) -> AskSpatial.Response:
        """The answer, or the reason why there is none (``success`` is False).

        Raises:
            NoAnswer: there is no such service in the graph.
        """
        request = AskSpatial.Request(question=question)
        answer: Any = self._requests.ask(lambda: self._client.call_async(request), "ask_spatial").result()
        return answer

"""What every node of this stack shares: a managed life cycle, declared parameters, liveliness and diagnostics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from .diagnostics import Diagnostics
from .liveliness import announce
from .parameters import NodeParameter
from .refusal import RefusedInput

AUTOSTART = NodeParameter(
    "autostart", True, "Configure and activate at start, without waiting for a life-cycle manager."
)


class SpatialNode(LifecycleNode):
    """A managed node. Subclasses name themselves, list their parameters and fill in four hooks.

    The hooks raise to refuse a transition; the error is logged and the node falls back to the state before.

    * ``setup``: read parameters, load models, create publishers and subscriptions (state: inactive afterwards).
    * ``start``: begin to work (active). ``stop``: the opposite of ``start``. ``teardown``: the opposite of ``setup``.

    Entities created in ``setup`` are destroyed after ``teardown``. While the node is active it holds the lease on
    ``alive/<name>``.
    """

    default_name: ClassVar[str]
    parameters: ClassVar[tuple[NodeParameter, ...]] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(self.default_name, **kwargs)
        for row in (AUTOSTART, *self.parameters):
            self.declare_parameter(row.name, row.default, row.descriptor())
        self.active = False
        self._lease: Publisher | None = None
        self._owned: list[Callable[[], object]] = []
        self.diagnostics = Diagnostics(self)

    def setup(self) -> None:
        """Acquire what the node needs; raise to refuse."""

    def start(self) -> None:
        """Begin to work; raise to refuse."""

    def stop(self) -> None:
        """Cease to work."""

    def teardown(self) -> None:
        """Give back what ``setup`` acquired, other than publishers and subscriptions."""

    @property
    def counters(self) -> Counter[str]:
        """Events counted since the start; published with the diagnostics."""
        return self.diagnostics.counters

    def value(self, name: str) -> Any:
        """Current value of a parameter."""
        return self.get_parameter(name).value

    def now_ns(self) -> int:
        """Current time of the node's clock (simulated under ``use_sim_time``) [ns]."""
        return self.get_clock().now().nanoseconds

    def refuse(self, counter: str, reason: str) -> None:
        """Count an input that could not be used and say why, on the console once in a while and in diagnostics."""
        self.diagnostics.refuse(counter, reason)

    def publish_on(self, message_type: type, topic: str, profile: QoSProfile) -> Publisher:
        """Publisher that lives until the node is cleaned up."""
        publisher = self.create_publisher(message_type, topic, profile)
        self._owned.append(lambda: self.destroy_publisher(publisher))
        return publisher

    def listen(
        self, message_type: type, topic: str, callback: Callable[[Any], None], profile: QoSProfile
    ) -> Subscription:
        """Subscription that is deaf unless the node is active and turns :class:`RefusedInput` into a count."""

        def guarded(message: Any) -> None:
            if not self.active:
                return
            try:
                callback(message)
            except RefusedInput as error:
                self.refuse(error.counter, str(error))

        subscription = self.create_subscription(message_type, topic, guarded, profile)
        self._owned.append(lambda: self.destroy_subscription(subscription))
        return subscription

    def own(self, destroy: Callable[[], object]) -> None:
        """Have ``destroy`` called when the node is cleaned up, in reverse order of registration."""
        self._owned.append(destroy)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; see ``setup``."""
        result = self._attempt("configure", self.setup)
        if result is not TransitionCallbackReturn.SUCCESS:
            self._release()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; see ``start``."""
        result = self._attempt("activate", self.start)
        if result is TransitionCallbackReturn.SUCCESS:
            self.active = True
            self._lease = announce(self)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; see ``stop``."""
        self._give_up_lease()
        return self._attempt("deactivate", self.stop)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; see ``teardown``."""
        result = self._attempt("clean up", self.teardown)
        self._release()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback, from any state."""
        if self.active:
            self.on_deactivate(state)
        return self.on_cleanup(state)

    def _give_up_lease(self) -> None:
        self.active = False
        if self._lease is not None:
            self.destroy_publisher(self._lease)
            self._lease = None

    def _release(self) -> None:
        while self._owned:
            self._owned.pop()()

    def _attempt(self, transition: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        # rclpy turns an exception in a transition into ERROR without a word, so it is caught and said here.
        try:
            hook()
        except Exception as error:
            self.get_logger().fatal(f"cannot {transition}: {error}")
            self.diagnostics.set(DiagnosticStatus.ERROR, f"cannot {transition}: {error}")
            return TransitionCallbackReturn.FAILURE
        self.diagnostics.set(DiagnosticStatus.OK, f"{transition}d" if transition[-1] == "e" else "cleaned up")
        return TransitionCallbackReturn.SUCCESS

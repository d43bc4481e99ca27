"""What every node of this stack shares: a managed life cycle, declared parameters, liveliness and diagnostics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from .diagnostics import Diagnostics
from .lean_node import LeanNode
from .liveliness import announce, say_who
from .parameters import NodeParameter
from .refusal import RefusedInput

AUTOSTART = NodeParameter(
    "autostart", True, "Configure and activate at start, without waiting for a life-cycle manager."
)


class SpatialNode(LeanNode, LifecycleNode):
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
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._owned: list[Callable[[], object]] = []
        self.diagnostics = Diagnostics(self)
        self.create_timer(1.0, self._say_who, clock=self._steady)

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
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        asleep: bool = False,
    ) -> Subscription:
        """Subscription that turns :class:`RefusedInput` into a count.

        It is deaf while the node is not active, except to a latched topic, whose message would not come again, and
        ``asleep``, to one that must not be missed.
        """
        return self.listen_timed(message_type, topic, lambda message, _: callback(message), profile, asleep)

    def listen_timed(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any, int], None],
        profile: QoSProfile,
        asleep: bool = False,
    ) -> Subscription:
        """As ``listen``; the callback also gets the real time [ns since 1970] at which the message was published."""
        always = asleep or profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        self.diagnostics.topics.expect(topic)

        def heard(message: Any, info: Any) -> None:
            self.diagnostics.topics.heard(topic, message, info["source_timestamp"])
            if self.active or always:
                self.guard(lambda: callback(message, info["source_timestamp"]))

        # rclpy hands the message info to any callback with two parameters; its annotation does not say so.
        two_parameters: Any = heard
        subscription = self.create_subscription(message_type, topic, two_parameters, profile)
        self._owned.append(lambda: self.destroy_subscription(subscription))
        return subscription

    def every(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Timer in real time, also while simulated time stands still; it idles while the node is not active."""

        def due() -> None:
            if self.active:
                self.guard(callback)

        timer = self.create_timer(seconds, due, clock=self._steady)
        self._owned.append(lambda: self.destroy_timer(timer))
        return timer

    def when_time_jumps_back(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` at a time that is earlier than the one before, also if no timer would notice."""

        def jumped(_: TimeJump) -> None:
            if self.active:
                self.guard(callback)

        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self.own(self.get_clock().create_jump_callback(back, post_callback=jumped).unregister)

    def on_mismatch(self, reason: str) -> None:
        """Count a publisher that this node cannot hear."""
        self.refuse("mismatched_publishers", reason)

    def guard(self, action: Callable[[], None]) -> None:
        """Run an action; a :class:`RefusedInput` is counted and said instead of raised."""
        try:
            action()
        except RefusedInput as error:
            self.refuse(error.counter, str(error))

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

    def _say_who(self) -> None:
        if self._lease is not None:
            say_who(self._lease)

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

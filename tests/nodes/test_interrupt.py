"""Ctrl-C counts even where Python loses it."""

import signal
import threading

import pytest
from spatial_vla.nodes.interrupt import Interrupt


class Destroyed:
    """As rclpy's futures: there is Python code in its destructor."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def ordinary_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_in_a_destructor_is_not_lost():
    with Interrupt() as interrupt:
        interrupt.check()
        thing = Destroyed()
        del thing  # Python prints and forgets it
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        interrupt.check()  # once


def test_one_that_was_raised_where_it_should_be_is_as_ever():
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            interrupt.forget()
            interrupt.check()
            raise


def test_other_threads_and_handlers_are_left_alone():
    def elsewhere():
        with Interrupt():
            found.append(signal.getsignal(signal.SIGINT))

    found = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
    mine = lambda *_: None  # noqa: E731
    signal.signal(signal.SIGINT, mine)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is mine
    signal.signal(signal.SIGINT, signal.default_int_handler)

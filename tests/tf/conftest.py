"""The same tests run against our buffer and, where it is installed, against tf2_ros."""

from types import ModuleType, SimpleNamespace

import pytest


def light() -> SimpleNamespace:
    from spatial_vla.tf import exceptions
    from spatial_vla.tf import light as module

    return SimpleNamespace(**{**vars(exceptions), **vars(module)})


def tf2() -> ModuleType:
    return pytest.importorskip("tf2_ros", reason="tf2_ros is not installed, so only our own buffer is tested")


@pytest.fixture(params=[light, tf2], ids=["light", "tf2_ros"])
def tf(request):
    """The names of tf2_ros, from one of the two back ends."""
    return request.param()


@pytest.fixture
def buffer(tf):
    """An empty buffer of that back end."""
    return tf.Buffer()

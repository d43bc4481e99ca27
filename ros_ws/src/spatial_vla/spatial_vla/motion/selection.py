"""Which back-end moves the arm, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .backend import BackendUnavailable, MotionBackend

#: What ``auto`` tries, in this order.
PREFERENCE = ("servo", "embedded")


@dataclass(frozen=True, eq=False)
class Choice:
    """A back-end that can be used, and the sentence that says why it is this one.

    ``backend`` is None where the controller makes its own when armed (embedded).
    """

    name: str
    backend: MotionBackend | None
    reason: str


def choose_backend(wanted: str, makers: Mapping[str, Callable[[], MotionBackend | None]]) -> Choice:
    """Make the back-end ``wanted``, or with "auto" the first of servo and embedded that can be made.

    Call it once, while disarmed; what it returns stays. A back-end asked for by name is never replaced by another.

    Raises:
        ValueError: an unknown name.
        BackendUnavailable: the one asked for, or all of them, cannot be used.
    """
    if wanted != "auto" and wanted not in makers:
        raise ValueError(f"backend is {wanted!r}; it must be 'auto' or one of {sorted(makers)}")
    missing: list[str] = []
    for name in [name for name in PREFERENCE if name in makers] if wanted == "auto" else [wanted]:
        try:
            backend = makers[name]()
        except BackendUnavailable as error:
            if wanted != "auto":
                raise BackendUnavailable(f"backend {name!r} was asked for: {error}") from error
            missing.append(f"not {name}: {error}")
            continue
        return Choice(name, backend, "; ".join(missing) or ("asked for" if wanted != "auto" else "preferred"))
    raise BackendUnavailable(f"no back-end can be used: {'; '.join(missing)}")

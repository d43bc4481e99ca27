"""How far is an engine from PyTorch? Errors, cosines, tokens, and what they mean in millimetres and degrees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from spatial_vla.actions import ActionGrid


class Comparable(Protocol):
    """A session, or several in a row."""

    @property
    def device(self) -> str:
        """As of a session."""
        ...

    def run(self, inputs: dict[str, NDArray]) -> dict[str, NDArray]:
        """As of a session."""
        ...


@dataclass(frozen=True)
class Threshold:
    """What is good enough.

    Attributes:
        max_error: largest error, in units of each output's largest number, or of 1 if that is larger.
        cosine: least cosine of an output over all observations.
        token_agreement: least share of observations whose tokens are all the same.
    """

    max_error: float
    cosine: float
    token_agreement: float


THRESHOLDS = {
    "fp32": Threshold(1e-4, 0.99999, 1.0),
    "fp16": Threshold(5e-2, 0.9995, 0.95),
    "bf16": Threshold(np.inf, 0.999, 0.9),
    "int8": Threshold(np.inf, 0.99, 0.8),
    "w8": Threshold(np.inf, 0.999, 0.9),
    "w4": Threshold(np.inf, 0.98, 0.8),
}


@dataclass(frozen=True)
class Parity:
    """A comparison, as the manifest keeps it.

    Attributes:
        stage, session, device, observations: what was compared, and on how many observations.
        max_error, cosine, token_agreement: as of :class:`Threshold`, the worst output's; None without tokens.
        translation_mm, rotation_deg: largest difference of a decoded step; None without a grid.
        ready: within the threshold of the precision.
    """

    stage: str
    session: str
    device: str
    precision: str
    observations: int
    max_error: float
    cosine: float
    token_agreement: float | None
    translation_mm: float | None
    rotation_deg: float | None
    ready: bool

    def row(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def precision_of(session: Comparable, precision: str) -> str:
    """What a session computes in, given the file's precision."""
    if precision in ("int8", "w8", "w4"):
        return precision
    return "bf16" if " bf16," in session.device else precision


def compare(
    reference: Comparable,
    session: Comparable,
    observations: Iterable[dict[str, NDArray]],
    *,
    stage: str,
    kind: str,
    precision: str,
    grid: ActionGrid | None = None,
) -> Parity:
    """Run both on the same observations.

    Args:
        precision: of the file; with that of the session it selects the threshold.
        grid: turns the output ``tokens`` into motion.
    """
    worst, products, same, motion, count = 0.0, {}, [], [], 0
    for inputs in observations:
        wanted = {k: v.copy() for k, v in reference.run(inputs).items()}
        found = session.run(inputs)
        count += 1
        for name, expected in wanted.items():
            if expected.dtype.kind in "iub":
                continue
            worst = max(worst, _error(expected, found[name]))
            a, b = expected.ravel().astype(np.float64), found[name].ravel().astype(np.float64)
            products[name] = products.get(name, 0.0) + np.array([a @ b, a @ a, b @ b])
        tokens = [name for name, array in wanted.items() if array.dtype.kind in "iu"]
        if tokens:
            same.append(all(np.array_equal(wanted[name], found[name]) for name in tokens))
        if grid is not None and "tokens" in wanted:
            motion.append(_motion(grid, wanted["tokens"][0], found["tokens"][0]))
    if not count:
        raise ValueError(f"no observation to compare stage {stage!r} on")
    cosine = min((_cosine(p) for p in products.values()), default=1.0)
    agreement = float(np.mean(same)) if same else None
    used = precision_of(session, precision)
    limit = THRESHOLDS[used]
    ready = worst <= limit.max_error and cosine >= limit.cosine
    far = np.max(motion, axis=0) if motion else (None, None)
    return Parity(
        stage=stage,
        session=kind,
        device=session.device,
        precision=used,
        observations=count,
        max_error=float(min(worst, np.finfo(np.float64).max)),
        cosine=cosine,
        token_agreement=agreement,
        translation_mm=None if far[0] is None else float(far[0]),
        rotation_deg=None if far[1] is None else float(far[1]),
        ready=bool(ready and (agreement is None or agreement >= limit.token_agreement)),
    )


def table(rows: Iterable[Parity]) -> str:
    """For a person to read."""
    lines = [
        f"{'stage':<12}{'session':<16}{'n':>5}{'max error':>11}{'1 - cosine':>12}{'tokens':>8}{'mm':>8}{'deg':>7}"
        "  ready"
    ]
    for row in rows:
        tokens = "" if row.token_agreement is None else f"{row.token_agreement:.0%}"
        mm = "" if row.translation_mm is None else f"{row.translation_mm:.2f}"
        degrees = "" if row.rotation_deg is None else f"{row.rotation_deg:.2f}"
        lines.append(
            f"{row.stage:<12}{row.session:<16}{row.observations:>5}{row.max_error:>11.1e}{1 - row.cosine:>12.1e}"
            f"{tokens:>8}{mm:>8}{degrees:>7}  {'yes' if row.ready else 'NO'}"
        )
    return "\n".join(lines)


def _error(expected: NDArray, found: NDArray) -> float:
    if not np.isfinite(found).all():
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return float(np.abs(expected.astype(np.float64) - found).max(initial=0.0)) / scale


def _cosine(products: NDArray) -> float:
    dot, a, b = products
    if not np.isfinite(dot):
        return -1.0
    return float(dot / np.sqrt(a * b)) if a > 0 and b > 0 else float(a == b)


def _motion(grid: ActionGrid, wanted: NDArray, found: NDArray) -> tuple[float, float]:
    a, b = grid.decode(wanted)[0], grid.decode(found)[0]
    steps = np.linalg.norm(a[:, :3] - b[:, :3], axis=1), np.linalg.norm(a[:, 3:] - b[:, 3:], axis=1)
    return 1e3 * float(steps[0].max()), float(np.rad2deg(steps[1].max()))

"""A histogram as SVG text; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 26, 40


def histogram(samples: NDArray[np.float64], label: str, marks: dict[str, float]) -> str:
    """Histogram of samples (N,) with labelled vertical lines.

    Args:
        label: of the horizontal axis, with the unit.
        marks: name to position, such as {"median": 42.0}.
    """
    low, high = _axis_range(np.append(samples, list(marks.values())))
    bins = int(np.clip(2.0 * np.sqrt(len(samples)), 8, 40))
    counts, edges = np.histogram(samples, bins=bins, range=(low, high))
    x = _scale(low, high, LEFT, WIDTH - RIGHT)
    y = _scale(0.0, float(max(counts.max(), 1)), HEIGHT - BOTTOM, TOP)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    parts += [_horizontal(y(tick), f"{tick:g}") for tick in _ticks(0.0, float(counts.max()), 3)]
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            top = y(float(count))
            bar = f'x="{x(left) + 0.75:.1f}" y="{top:.1f}" width="{x(right) - x(left) - 1.5:.1f}"'
            hint = f"<title>{left:.1f} to {right:.1f}: {count}</title>"
            parts.append(
                f'<rect class="bar" {bar} height="{HEIGHT - BOTTOM - top:.1f}" rx="1.5">{hint}</rect>'
            )
    parts.append(_line("axis", LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM))
    parts += [_text(x(tick), HEIGHT - BOTTOM + 16, f"{tick:g}") for tick in _ticks(low, high, 5)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, label, "label"))
    parts += [_mark(x(value), f"{name} {value:.0f}") for name, value in marks.items()]
    return "\n".join([*parts, "</svg>"])


def _axis_range(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = max(0.04 * (high - low), 0.5)
    return max(0.0, low - margin), high + margin


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within [low, high], roughly ``about`` of them."""
    raw = max(high - low, 1e-9) / about
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(m for m in (1.0, 2.0, 5.0, 10.0) if m * power >= raw * 0.999)
    return [float(t) for t in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]


def _horizontal(y: float, label: str) -> str:
    return _line("rule", LEFT, WIDTH - RIGHT, y) + _text(LEFT - 8, y + 4, label, "end")


def _line(kind: str, x1: float, x2: float, y: float) -> str:
    return f'<line class="{kind}" x1="{x1}" x2="{x2}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _mark(x: float, label: str) -> str:
    anchor, dx = ("end", -5) if x > WIDTH * 0.8 else ("start", 5)
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 14}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="markname" x="{x + dx:.1f}" y="{TOP - 6}" text-anchor="{anchor}">{escape(label)}</text>'
    )


def _text(x: float, y: float, text: str, kind: str = "tick") -> str:
    anchor = "end" if kind == "end" else "middle"
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

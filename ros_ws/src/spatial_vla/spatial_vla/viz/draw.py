"""Plan, target and captions drawn into a camera image. Images are RGB uint8 (height, width, 3)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from spatial_vla.geometry import PinholeCamera

from .colours import INK, PAPER, PLAN, RGB, TARGET
from .plan import Plan

Image = NDArray[np.uint8]
_SHIFT = 4  # OpenCV draws at 1/16 pixel


def enlarge(rgb: Image, factor: int = 3) -> Image:
    """Enlarge a picture by a whole factor, with smooth edges and a little sharpening."""
    height, width = rgb.shape[:2]
    big = cv2.resize(rgb, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(big, (0, 0), 0.6 * factor)
    return np.asarray(cv2.addWeighted(big, 1.6, soft, -0.6, 0.0), dtype=np.uint8)


def draw_plan(rgb: Image, camera: PinholeCamera, plan: Plan) -> Image:
    """A copy of the picture with the plan's path, its steps and its target.

    Args:
        rgb: picture of the size that ``camera`` states.
        camera: intrinsics, see :meth:`PinholeCamera.resized` for an enlarged picture.
        plan: in the camera's optical frame, see :meth:`Plan.seen_from`; what lies behind the camera is left out.
    """
    image = rgb.copy()
    scale = max(1.0, camera.width / 336.0)
    if plan.target is not None:
        _target(image, camera.project(plan.target), scale)
    pixels = camera.project(plan.positions)
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    if len(pixels):
        _path(image, pixels, scale)
    return image


def draw_caption(rgb: Image, text: str, detail: str = "") -> Image:
    """A copy of the picture with a bar at the bottom: ``text`` at the left, ``detail`` at the right."""
    image = rgb.copy()
    height, width = image.shape[:2]
    bar = max(16, width // 16)
    image[-bar:] = image[-bar:] // 4 + (np.array(INK) * 3 // 4).astype(np.uint8)
    size = bar / 44.0
    baseline = height - round(bar * 0.34)
    _text(image, text, (round(bar * 0.4), baseline), size)
    _text(image, detail, (width - round(bar * 0.4) - _text_width(detail, size), baseline), size)
    return image


def _path(image: Image, pixels: NDArray[np.float64], scale: float) -> None:
    for colour, extra in ((INK, 2.0), (PLAN, 0.0)):
        thickness = max(1, round(1.2 * scale + extra))
        cv2.polylines(image, [_fixed(pixels)[:, None]], False, colour, thickness, cv2.LINE_AA, _SHIFT)
    for pixel in pixels[1:]:
        _disc(image, pixel, 2.2 * scale, PLAN)
    _disc(image, pixels[0], 2.8 * scale, PAPER)


def _target(image: Image, pixel: NDArray[np.float64], scale: float) -> None:
    if not np.isfinite(pixel).all():
        return
    centre = tuple(int(c) for c in _fixed(pixel))
    for colour, extra in ((INK, 4.0), (PAPER, 2.0), (TARGET, 0.0)):
        thickness = max(1, round(1.1 * scale + extra))
        cv2.circle(image, centre, round(7.0 * scale * 2**_SHIFT), colour, thickness, cv2.LINE_AA, _SHIFT)
    _disc(image, pixel, 1.6 * scale, TARGET)


def _disc(image: Image, pixel: NDArray[np.float64], radius: float, colour: RGB) -> None:
    centre = tuple(int(c) for c in _fixed(pixel))
    cv2.circle(image, centre, round((radius + 1.0) * 2**_SHIFT), INK, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(image, centre, round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def _fixed(pixels: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixels to OpenCV's fixed-point coordinates; far outside is cut off, for the drawing code counts in 32 bits."""
    return np.round(np.clip(pixels, -1e4, 1e4) * 2**_SHIFT).astype(np.int32)


def _text(image: Image, text: str, origin: tuple[int, int], size: float) -> None:
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, PAPER, 1, cv2.LINE_AA)


def _text_width(text: str, size: float) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0]

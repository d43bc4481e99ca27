"""Image and CameraInfo messages to arrays and a camera model, and back.

Pixels leave through ``array.array``: assigning a numpy array to a message field converts it element by element, which
is 100 times slower. They come in through ``np.frombuffer``, without a copy where the layout allows.
"""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ..geometry import PinholeCamera
from .refusal import RefusedInput

IMAGE, DEPTH, INFO = "image_refused", "depth_refused", "camera_info_refused"

#: Encoding to channels and the OpenCV conversion to RGB, None where it is RGB.
COLOUR = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}
#: Encoding to pixel type and metres per unit (REP-118).
RANGE = {"32FC1": (np.float32, 1.0), "16UC1": (np.uint16, 0.001), "mono16": (np.uint16, 0.001)}


def rgb_from_image(message: Image) -> NDArray[np.uint8]:
    """Colour image to RGB (H, W, 3) uint8; read-only where no conversion was needed.

    Raises:
        RefusedInput: unsupported encoding, or size and data do not agree.
    """
    if message.encoding not in COLOUR:
        raise RefusedInput(IMAGE, f"image encoding '{message.encoding}'; expected one of {', '.join(COLOUR)}")
    channels, conversion = COLOUR[message.encoding]
    pixels = _pixels(message, np.dtype(np.uint8), channels, IMAGE)
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion).astype(np.uint8, copy=False)


def depth_from_image(message: Image) -> NDArray[np.float32]:
    """Depth image to metres (H, W) float32; 0, NaN and infinities mean "no depth" and pass unchanged.

    Raises:
        RefusedInput: unsupported encoding, or size and data do not agree.
    """
    if message.encoding not in RANGE:
        raise RefusedInput(DEPTH, f"depth encoding '{message.encoding}'; expected one of {', '.join(RANGE)}")
    dtype, metres = RANGE[message.encoding]
    pixels = _pixels(message, np.dtype(dtype), 1, DEPTH)
    return pixels if dtype is np.float32 else pixels.astype(np.float32) * np.float32(metres)


def image_from_array(pixels: NDArray[Any], header: Header) -> Image:
    """RGB (H, W, 3) uint8 to rgb8, depth (H, W) float32 metres to 32FC1.

    Raises:
        ValueError: the array is neither.
    """
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3:
        encoding, pixel_bytes = "rgb8", 3
    elif pixels.dtype == np.float32 and pixels.ndim == 2:
        encoding, pixel_bytes = "32FC1", 4
    else:
        raise ValueError(
            f"image is {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3) or float32 (H, W)"
        )
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=width * pixel_bytes)
    message.data = array.array("B", pixels.tobytes())
    return message


def camera_from_info(message: CameraInfo, height: int, width: int) -> PinholeCamera:
    """Intrinsics of an undistorted, full image of ``height`` x ``width`` pixels.

    Raises:
        RefusedInput: uncalibrated, distorted, cropped or binned, or of another size than the image.
    """
    if (message.height, message.width) != (height, width):
        raise RefusedInput(
            INFO,
            f"camera_info is for {message.width}x{message.height} pixels, the image has {width}x{height}",
        )
    if any(message.d):
        raise RefusedInput(
            INFO,
            f"camera_info has distortion {list(message.d)}; expected none: publish the rectified image "
            "(image_proc) with a camera_info whose D is zero and whose K is the rectified one",
        )
    roi = message.roi
    if message.binning_x > 1 or message.binning_y > 1 or roi.width or roi.height:
        raise RefusedInput(INFO, "camera_info has binning or a region of interest; publish the full image")
    try:
        return PinholeCamera.from_K(width, height, message.k)
    except ValueError as error:
        raise RefusedInput(INFO, str(error)) from error


def info_from_camera(camera: PinholeCamera, header: Header) -> CameraInfo:
    """CameraInfo of an undistorted camera."""
    message = CameraInfo(
        header=header, height=camera.height, width=camera.width, distortion_model="plumb_bob"
    )
    message.d = [0.0] * 5
    message.k = camera.K.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.column_stack((camera.K, np.zeros(3))).ravel()
    return message


def _pixels(message: Image, dtype: np.dtype[Any], channels: int, counter: str) -> NDArray[Any]:
    """View of the pixel data, (H, W) or (H, W, channels), rows possibly padded."""
    row = message.width * channels * dtype.itemsize
    if message.step < row or len(message.data) != message.step * message.height:
        raise RefusedInput(
            counter,
            f"{message.encoding} image of {message.width}x{message.height} needs step >= {row} and step * height "
            f"bytes, got step {message.step} and {len(message.data)} bytes",
        )
    if message.is_bigendian and dtype.itemsize > 1:
        dtype = dtype.newbyteorder(">")
    raw = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, :row]
    pixels = np.ascontiguousarray(raw).view(dtype)
    pixels = pixels if dtype.isnative else pixels.astype(dtype.newbyteorder("="))
    return pixels if channels == 1 else pixels.reshape(message.height, message.width, channels)

"""Image messages: every encoding arrives as the same picture, and what cannot be trusted is refused."""

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from spatial_vla.geometry import PinholeCamera
from spatial_vla.nodes.images import (
    camera_from_info,
    depth_from_image,
    image_from_array,
    info_from_camera,
    rgb_from_image,
)
from spatial_vla.nodes.refusal import RefusedInput
from std_msgs.msg import Header

RGB = np.random.default_rng(1).integers(0, 256, (6, 5, 3), dtype=np.uint8)
CAMERA = PinholeCamera(5, 6, 100.0, 101.0, 2.0, 2.5)


def raw(pixels, encoding, pad=0, big=False):
    height, width = pixels.shape[:2]
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    step = len(rows) // height
    padded = b"".join(rows[i * step : (i + 1) * step] + b"\xaa" * pad for i in range(height))
    message = Image(height=height, width=width, encoding=encoding, step=step + pad, is_bigendian=int(big))
    message.data = array.array("B", padded)
    return message


@pytest.mark.parametrize("pad", [0, 7])
@pytest.mark.parametrize(
    ("encoding", "conversion"),
    [
        ("rgb8", None),
        ("bgr8", cv2.COLOR_RGB2BGR),
        ("rgba8", cv2.COLOR_RGB2RGBA),
        ("bgra8", cv2.COLOR_RGB2BGRA),
    ],
)
def test_colour_encodings_show_the_same_picture(encoding, conversion, pad):
    pixels = RGB if conversion is None else cv2.cvtColor(RGB, conversion)
    found = rgb_from_image(raw(pixels, encoding, pad))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, RGB)


def test_grey_becomes_rgb():
    found = rgb_from_image(raw(RGB[..., 0], "mono8", pad=3))
    np.testing.assert_array_equal(found, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["32FC1", "16UC1", "mono16"])
def test_depth_is_metres(encoding, big):
    metres = np.array([[0.0, 0.5, 1.25], [2.0, 3.0, 0.001]], np.float32)
    stored = metres if encoding == "32FC1" else np.round(metres * 1000).astype(np.uint16)
    found = depth_from_image(raw(stored, encoding, pad=4, big=big))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, metres, rtol=1e-6)


def test_invalid_depth_passes_unchanged():
    metres = np.array([[np.nan, np.inf, -np.inf, 0.0]], np.float32)
    np.testing.assert_array_equal(depth_from_image(raw(metres, "32FC1")), metres)


@pytest.mark.parametrize("pixels", [RGB, np.ones((4, 3), np.float32)], ids=["rgb8", "32FC1"])
def test_there_and_back(pixels):
    message = image_from_array(pixels, Header(frame_id="optical"))
    back = rgb_from_image(message) if pixels.ndim == 3 else depth_from_image(message)
    np.testing.assert_array_equal(back, pixels)
    assert message.header.frame_id == "optical"


def test_other_arrays_are_no_images():
    with pytest.raises(ValueError, match="float64"):
        image_from_array(np.zeros((2, 2)), Header())


def test_unsupported_encoding_is_refused_with_what_would_do():
    with pytest.raises(RefusedInput, match=r"yuv422.*rgb8.*bgr8") as error:
        rgb_from_image(raw(RGB, "yuv422"))
    assert error.value.counter == "image_refused"
    with pytest.raises(RefusedInput, match=r"rgb8.*32FC1"):
        depth_from_image(raw(RGB, "rgb8"))


@pytest.mark.parametrize("change", [{"step": 3}, {"height": 7}, {"width": 50}])
def test_size_and_data_must_agree(change):
    message = raw(RGB, "rgb8")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(RefusedInput, match="bytes"):
        rgb_from_image(message)


def test_camera_info_there_and_back():
    assert camera_from_info(info_from_camera(CAMERA, Header()), 6, 5) == CAMERA


def uncalibrated(info: CameraInfo):
    info.k = np.zeros(9)


def distorted(info: CameraInfo):
    info.d = [0.1, 0.0, 0.0, 0.0, 0.0]


def binned(info: CameraInfo):
    info.binning_x = 2


def cropped(info: CameraInfo):
    info.roi.width = 3


def skewed(info: CameraInfo):
    info.k[1] = 0.5


def not_a_number(info: CameraInfo):
    info.k[0] = float("nan")


@pytest.mark.parametrize("spoil", [uncalibrated, distorted, binned, cropped, skewed, not_a_number])
def test_unusable_camera_info_is_refused(spoil):
    info = info_from_camera(CAMERA, Header())
    spoil(info)
    with pytest.raises(RefusedInput) as error:
        camera_from_info(info, 6, 5)
    assert error.value.counter == "camera_info_refused"


def test_camera_info_of_another_image_size_is_refused():
    with pytest.raises(RefusedInput, match="5x6 pixels, the image has 640x480"):
        camera_from_info(info_from_camera(CAMERA, Header()), 480, 640)

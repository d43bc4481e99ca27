"""TFRecord files and the messages in them, without TensorFlow.

A record is its length (8 bytes, little-endian), a check sum of these, the message, a check sum of it. The messages of
RLDS are ``tf.train.Example``: named lists of bytes, of floats or of integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .episodes import required

Value = list[bytes] | NDArray[np.float32] | NDArray[np.int64]


class DamagedRecord(ValueError):
    """A file is cut off, or its check sums do not agree."""


def record_places(path: Path) -> Iterator[tuple[int, int]]:
    """Offset and length of every message of a file; the messages themselves are not read.

    Raises:
        DamagedRecord: the file is cut off or is no TFRecord file. MissingPart: google-crc32c is not installed.
    """
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(12)
            if len(head) < 12 or _masked(head[:8]) != int.from_bytes(head[8:], "little"):
                raise DamagedRecord(f"{path} has no record at byte {at} of {size}; fetch the file again")
            length = int.from_bytes(head[:8], "little")
            if at + 16 + length > size:
                raise DamagedRecord(f"{path} ends within the record at byte {at}; fetch the file again")
            yield at + 12, length
            at += 16 + length


def read_record(path: Path, offset: int, length: int) -> bytes:
    """One message.

    Raises:
        DamagedRecord: its check sum does not agree.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data, check = file.read(length), file.read(4)
    if _masked(data) != int.from_bytes(check, "little"):
        raise DamagedRecord(f"the record at byte {offset} of {path} is damaged; fetch the file again")
    return data


def read_example(data: bytes) -> dict[str, Value]:
    """The lists of a ``tf.train.Example``."""
    found: dict[str, Value] = {}
    for features in _fields(memoryview(data), 1):
        for entry in _fields(features, 1):
            name = bytes(next(_fields(entry, 1))).decode()
            found[name] = _list(next(_fields(entry, 2), memoryview(b"")))
    return found


def _list(feature: memoryview) -> Value:
    for number, value in _items(feature):
        if number == 1:
            return [bytes(one) for one in _fields(value, 1)]
        if number == 2:
            # Packed, or a field of four bytes each.
            parts = [np.frombuffer(v, "<f4") for n, v in _items(value) if n == 1]
            return np.concatenate(parts or [np.empty(0, np.float32)])
        if number == 3:
            integers: list[int] = []
            for n, v in _items(value):
                if n == 1:
                    integers += [v] if isinstance(v, int) else _varints(v)
            return np.array(integers, np.uint64).astype(np.int64)
    return []


def _fields(message: memoryview, number: int) -> Iterator[memoryview]:
    return (value for found, value in _items(message) if found == number)


def _items(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and content of a message's fields: memory for what has a length, integers for the others' varints."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise DamagedRecord(f"a field of kind {kind}; expected a tf.train.Example")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message):
            raise DamagedRecord("a message ends within a number; expected a tf.train.Example")
        byte = message[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _varints(packed: memoryview) -> list[int]:
    out, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        out.append(value)
    return out


def _masked(data: bytes) -> int:
    """The check sum that TFRecord files have: CRC-32C, turned and shifted."""
    crc = int(required("google_crc32c", "reading RLDS files", "rlds").value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

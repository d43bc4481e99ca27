"""Named arrays over pipes: eight bytes of length, then an .npz. No pickle, so the numpy of both ends may differ."""

from __future__ import annotations

import io
from typing import IO, Any

import numpy as np


def send(stream: IO[bytes], **arrays: Any) -> None:
    """Write one message; numbers and texts go as arrays of no dimension."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    stream.write(len(buffer.getvalue()).to_bytes(8, "little") + buffer.getvalue())
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any]:
    """Read one message.

    Raises:
        EOFError: the other side closed the pipe.
    """
    length = int.from_bytes(_exactly(stream, 8), "little")
    with np.load(io.BytesIO(_exactly(stream, length)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError(f"the pipe ended after {len(data)} of {count} bytes")
    return data

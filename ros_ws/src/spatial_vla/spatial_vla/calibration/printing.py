"""A board to print: PNG, and a PDF page on which a square has exactly its size."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2

from .board import Board

POINTS_PER_METRE = 72.0 / 0.0254
MARGIN = 0.01
PIXELS_PER_SQUARE = 120


def write_png(path: Path, board: Board) -> None:
    """The board alone, without a margin; scale it so that a square has its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), board.picture(PIXELS_PER_SQUARE))


def write_pdf(path: Path, board: Board) -> None:
    """One page, as large as the board and a margin of 10 mm. Print at 100 %, then measure a square."""
    picture = board.picture(PIXELS_PER_SQUARE)
    height, width = picture.shape
    across, down = (side * POINTS_PER_METRE for side in board.size)
    margin = MARGIN * POINTS_PER_METRE
    draw = f"q {across:.4f} 0 0 {down:.4f} {margin:.4f} {margin:.4f} cm /Board Do Q".encode()
    image = zlib.compress(picture.tobytes(), 9)
    page = f"[0 0 {across + 2 * margin:.4f} {down + 2 * margin:.4f}]"
    form = f"/Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 8"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {page} /Contents 4 0 R "
        "/Resources << /XObject << /Board 5 0 R >> >> >>".encode(),
        _stream("", draw),
        _stream(f"/Type /XObject {form} /Filter /FlateDecode", image),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_document(objects))


def _stream(entries: str, content: bytes) -> bytes:
    return f"<< {entries} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def _document(objects: list[bytes]) -> bytes:
    text, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(text))
        text += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    count = len(objects) + 1
    end = f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer << /Size {count} /Root 1 0 R >>\n"
    return text + end.encode() + f"startxref\n{len(text)}\n%%EOF\n".encode()

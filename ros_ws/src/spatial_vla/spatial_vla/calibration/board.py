"""Calibration boards: what they look like, and where their corners are in an image.

The board frame is OpenCV's: origin at the outer corner of the first square, x along the columns, y along the rows, and
z away from whoever looks at the printed side.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import CalibrationError

Array = NDArray[np.float64]

#: A view with fewer corners than this says too little.
FEWEST_CORNERS = 8


@dataclass(frozen=True)
class Board:
    """A ChArUco board or a plain chessboard.

    Attributes:
        kind: "charuco" may be partly hidden and knows which way up it is; "chessboard" must be seen whole.
        columns: squares along x.
        rows: squares along y.
        square: side of a square [m], as measured on the print.
        marker: side of a marker [m]; ChArUco alone.
        dictionary: name of the marker dictionary as in OpenCV, such as "DICT_5X5_100"; ChArUco alone.
    """

    kind: Literal["charuco", "chessboard"] = "charuco"
    columns: int = 8
    rows: int = 6
    square: float = 0.03
    marker: float = 0.022
    dictionary: str = "DICT_5X5_100"

    def __post_init__(self) -> None:
        if self.kind not in ("charuco", "chessboard"):
            raise CalibrationError(f"board kind is {self.kind!r}; it must be 'charuco' or 'chessboard'")
        if self.columns < 3 or self.rows < 3:
            raise CalibrationError(f"board has {self.columns} x {self.rows} squares; it needs at least 3 x 3")
        if not 0.0 < self.square < 1.0:
            raise CalibrationError(f"square is {self.square} m; expected metres, for example 0.03 for 30 mm")
        if self.kind == "charuco":
            if not 0.0 < self.marker < self.square:
                raise CalibrationError(
                    f"marker is {self.marker} m; it must be smaller than a square ({self.square} m)"
                )
            if not hasattr(cv2.aruco, self.dictionary):
                known = sorted(n for n in dir(cv2.aruco) if n.startswith("DICT_"))
                raise CalibrationError(
                    f"no marker dictionary {self.dictionary!r}; OpenCV has {', '.join(known)}"
                )

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Board:
        """From what :meth:`to_dict` gave. Raises CalibrationError naming unknown keys."""
        unknown = sorted(set(table) - set(asdict(cls())))
        if unknown:
            raise CalibrationError(f"board has unknown entries {unknown}; known: {sorted(asdict(cls()))}")
        return cls(**table)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML."""
        return asdict(self)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the printed squares [m]."""
        return self.columns * self.square, self.rows * self.square

    def corners(self) -> Array:
        """Inner corners (n, 3) in the board frame [m], row by row."""
        x, y = np.meshgrid(np.arange(1, self.columns), np.arange(1, self.rows))
        flat = np.stack((x, y, np.zeros_like(x)), axis=-1).reshape(-1, 3)
        return np.asarray(flat * self.square, dtype=np.float64)

    def picture(self, pixels_per_square: int = 60) -> NDArray[np.uint8]:
        """The board as an image (rows * pixels, columns * pixels), without a margin."""
        size = (self.columns * pixels_per_square, self.rows * pixels_per_square)
        if self.kind == "charuco":
            return np.asarray(self._charuco().generateImage(size, marginSize=0), dtype=np.uint8)
        y, x = np.mgrid[: size[1], : size[0]] // pixels_per_square
        return (255 * ((x + y) % 2)).astype(np.uint8)

    def detect(self, image: NDArray[np.uint8]) -> Corners | None:
        """Corners in a grey or RGB image (H, W[, 3]); None if the board, or enough of it, is not there."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if self.kind == "chessboard":
            found, pixels = cv2.findChessboardCornersSB(grey, (self.columns - 1, self.rows - 1))
            return Corners(self.corners(), pixels.reshape(-1, 2).astype(np.float64)) if found else None
        pixels, ids, _, _ = self._detector().detectBoard(grey)
        if ids is None or len(ids) < FEWEST_CORNERS:
            return None
        points = self.corners()[np.asarray(ids).ravel()]
        if np.linalg.matrix_rank(points[:, :2] - points[0, :2]) < 2:
            return None  # all on one line: no pose can be had from that
        return Corners(points, np.asarray(pixels, dtype=np.float64).reshape(-1, 2))

    def _charuco(self) -> Any:
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, dictionary)

    def _detector(self) -> Any:
        detector = cv2.aruco.DetectorParameters()
        detector.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        return cv2.aruco.CharucoDetector(self._charuco(), cv2.aruco.CharucoParameters(), detector)


@dataclass(frozen=True, eq=False)
class Corners:
    """Corners of a board in one image: ``points`` (n, 3) in the board frame [m] and ``pixels`` (n, 2)."""

    points: Array
    pixels: Array

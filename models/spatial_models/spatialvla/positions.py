"""Where the patches of requested images are, from depth measured or estimated and the intrinsics in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from spatial_vla.geometry import PinholeCamera
from torch import Tensor

from .configuration import SpatialVlaConfig
from .depth import DepthProvider, GivenDepth
from .ego3d import back_project


class MissingDepth(ValueError):
    """A request comes without depth, and nothing estimates it."""


@dataclass(frozen=True, eq=False)
class Request:
    """What a policy is asked.

    Attributes:
        image: (H, W, 3) uint8 RGB of the external camera.
        instruction: what to do.
        depth: (H, W) metres along the optical axis, registered to the image; 0, NaN and infinity where not measured.
            None: estimated.
        intrinsics: (3, 3) of the image, the centre of the first pixel at (0, 0). None: those the released weights were
            trained with, whatever the camera was.
        stamp_ns: when the image was taken.
    """

    image: NDArray[np.uint8]
    instruction: str
    depth: ArrayLike | None = None
    intrinsics: ArrayLike | None = None
    stamp_ns: int = 0


class Positions:
    """Points of every patch of requested images.

    Args:
        config: of the network.
        intrinsics: (3, 3) of the network's image for requests without, scaled as the released files do.
        depth: estimates it for requests without; None refuses those.
        compat, dtype: the released arithmetic, in the type of the network.
    """

    def __init__(
        self,
        config: SpatialVlaConfig,
        intrinsics: ArrayLike,
        depth: DepthProvider | None = None,
        *,
        compat: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.config, self.depth, self.compat, self.dtype = config, depth, compat, dtype
        self.intrinsics = np.asarray(intrinsics, dtype=np.float64)

    def __call__(self, requests: Sequence[Request], images: Tensor) -> Tensor:
        """Points (B, P, cells squared, 3) [m, camera frame] of requests and their images (B, 3, S, S) in [0, 1].

        Raises:
            MissingDepth: a request has no depth and nothing estimates it.
            ValueError: a depth is not of its image's shape.
        """
        config = self.config
        K = self.intrinsics_of(requests).to(images.device)
        depth = self._depths(requests, images)
        return back_project(depth, K, patch=config.patch_size, side=config.ego3d_cells, compat=self.compat)

    def intrinsics_of(self, requests: Sequence[Request]) -> Tensor:
        """(B, 3, 3) of the network's images."""
        intrinsics = np.stack([self._scaled_intrinsics(request) for request in requests])
        return torch.from_numpy(intrinsics).to(self.dtype)

    def _scaled_intrinsics(self, request: Request) -> NDArray[np.float64]:
        """(3, 3) of the network's image."""
        half_pixel = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
        if request.intrinsics is None:
            # Released files and code count from the corner of the first pixel, everything else from its centre.
            return self.intrinsics if self.compat else self.intrinsics - half_pixel
        height, width = request.image.shape[:2]
        side = self.config.image_size
        K = PinholeCamera.from_K(width, height, request.intrinsics).resized(side, side).K
        return K + half_pixel if self.compat else K

    def _depths(self, requests: Sequence[Request], images: Tensor) -> Tensor:
        """Metres (B, S, S): measured where given, the others estimated together."""
        lacking = [i for i, request in enumerate(requests) if request.depth is None]
        if lacking and self.depth is None:
            raise MissingDepth(
                f"request {lacking[0]} has no depth and the policy no estimator: give depth in metres, or load the "
                "checkpoint with its depth network, or pass an estimator (spatialvla/depth.py)"
            )
        depths: list[Tensor] = [images.new_empty(0)] * len(requests)
        if lacking and self.depth is not None:
            for i, metres in zip(lacking, self.depth.depth(images[lacking]), strict=True):
                depths[i] = metres
        kind = depths[lacking[0]].dtype if lacking else torch.float32
        for i, request in enumerate(requests):
            if request.depth is not None:
                shape = np.shape(request.depth)
                if shape != request.image.shape[:2]:
                    raise ValueError(
                        f"depth of request {i} has shape {shape}, its image {request.image.shape[:2]}; expected depth "
                        "registered to the image, pixel by pixel"
                    )
                depths[i] = GivenDepth(request.depth).depth(images[i : i + 1])[0].to(kind)
        return torch.stack(depths)

"""SpatialVLA as a robot uses it: an image and an instruction in, a chunk of end-effector motion out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation
from spatial_vla.actions import (
    ActionChunk,
    ActionStatistics,
    SpatialActionTokenizer,
    read_processor_config,
)
from spatial_vla.geometry.ego3d import released_intrinsics

from .checkpoint import load
from .depth import DepthProvider, ZoeDepth
from .generate import ActionDecoder
from .model import SpatialVla
from .positions import Positions, Request
from .prompt import Prompts, image_tensor
from .quantise import quantise


class SpatialVlaPolicy:
    """Requests to action chunks.

    Args:
        model, prompts, tokenizer: of one checkpoint.
        statistics: of the data set whose robot is driven; they turn [-1, 1] into metres and radians.
        intrinsics: (3, 3) of the network's image for requests without, scaled as the released files do.
        depth: estimates it for requests without; None takes the network's ZoeDepth, if it is loaded.
        dt: duration of a step [s], that of the data set (Bridge 0.2). frame: whose axes its actions are along.
        rotations: what the data set's are: angles about the fixed axes x, y, z, as those of the released weights, or
            rotation vectors, as LIBERO's.
        compat: depth, intrinsics and positions rounded as the released code does, and its choice of ZoeDepth's head.
        record, compiled: as of :class:`.generate.ActionDecoder`.
    """

    def __init__(
        self,
        model: SpatialVla,
        prompts: Prompts,
        tokenizer: SpatialActionTokenizer,
        statistics: ActionStatistics,
        *,
        intrinsics: ArrayLike,
        depth: DepthProvider | None = None,
        dt: float = 0.2,
        frame: str = "panda_link0",
        rotations: Literal["euler", "vector"] = "euler",
        compat: bool = False,
        record: bool = True,
        compiled: bool = False,
    ) -> None:
        if rotations not in ("euler", "vector"):
            raise ValueError(f"rotations {rotations!r}; expected 'euler' or 'vector'")
        self.rotations = rotations
        self.model, self.prompts, self.tokenizer, self.statistics = model, prompts, tokenizer, statistics
        self.dt, self.frame = dt, frame
        if depth is None and model.vision_zoe_model is not None and model.config.depth is not None:
            size = model.config.depth.backbone_config.image_size  # pyright: ignore[reportOptionalMemberAccess]
            depth = ZoeDepth(model.vision_zoe_model, compat=compat, size=size)
        kind = model.dtype if compat else torch.float32
        self.positions = Positions(model.config, intrinsics, depth, compat=compat, dtype=kind)
        self.decoder = ActionDecoder(model, tokenizer.grid.cells, tokenizer.steps, record, compiled)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        key: str,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        bits: Literal[4, 8] | None = None,
        depth: DepthProvider | None = None,
        depth_network: bool = True,
        dt: float = 0.2,
        frame: str = "panda_link0",
        rotations: Literal["euler", "vector"] = "euler",
        compat: bool = False,
        compiled: bool = False,
    ) -> SpatialVlaPolicy:
        """The policy of a released checkpoint's folder; nothing is fetched and no code of the folder is run.

        Args:
            key: data set whose robot is driven, for example ``bridge_orig/1.0.0``.
            bits: quantise to 4 or 8, see :func:`.quantise.quantise`.
            depth, dt, frame, rotations, compat, compiled: as of the class. depth_network: False leaves ZoeDepth out.

        Raises:
            FileNotFoundError, CheckpointMismatch, UnusableConfiguration, UnusableTokenizer: a file is absent or wrong.
            KeyError: the checkpoint has no such data set; the message lists those it has.
            ValueError: quantised weights cannot be compiled.
        """
        if compiled and bits is not None:
            raise ValueError(
                f"{bits} bits and compiled: quantised layers are not compiled; choose one of the two"
            )
        fields = read_processor_config(folder)
        statistics = ActionStatistics.from_processor_config(fields, key)
        model = load(
            folder,
            device=device,
            dtype=dtype,
            depth_network=depth_network and depth is None,
            compat=compat,
        )
        if bits is not None:
            quantise(model, bits)
        begin, side = model.config.action_begin, model.config.image_size
        # Each length is recorded or compiled.
        few_lengths = 16 if compiled or torch.device(device).type == "cuda" else 1
        return cls(
            model,
            Prompts.read(folder, model.config, multiple=few_lengths),
            SpatialActionTokenizer.from_processor_config(fields, begin=begin),
            statistics,
            intrinsics=released_intrinsics(fields, key, side),
            depth=depth,
            dt=dt,
            frame=frame,
            rotations=rotations,
            compat=compat,
            compiled=compiled,
            record=bits is None,  # the quantisers' kernels may decide on values
        )

    def __call__(
        self,
        image: NDArray[np.uint8],
        depth: ArrayLike | None,
        intrinsics: ArrayLike | None,
        instruction: str,
        stamp_ns: int = 0,
    ) -> ActionChunk:
        """Answer one request, its parts as of :class:`Request`."""
        return self.answer([Request(image, instruction, depth, intrinsics, stamp_ns)])[0]

    def answer(self, requests: Sequence[Request]) -> list[ActionChunk]:
        """Answer several requests at once, each as it would be alone (up to rounding).

        Raises:
            MissingDepth: a request has no depth and nothing estimates it.
            ValueError: an image, a depth or an instruction is not what it should be.
        """
        side, device = self.model.config.image_size, self.model.device
        images = torch.stack([image_tensor(request.image, side) for request in requests]).to(device)
        points = self.positions(requests, images)
        sequences = self.prompts([request.instruction for request in requests]).to(device)
        found = self.decoder(sequences, images, points)
        tokens, chances = found.ids.cpu().numpy(), found.log_probabilities.cpu().numpy()
        actions = self._actions(tokens)
        return [
            self._chunk(actions[i], tokens[i], chances[i], request.stamp_ns)
            for i, request in enumerate(requests)
        ]

    def _actions(self, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """Tokens (B, T, 3), counted in their slots, to actions (B, T, 7) in metres and radians."""
        ids = tokens + np.array([slot.start for slot in self.tokenizer.slots])
        return self.statistics.denormalise(self.tokenizer.decode(ids.reshape(len(ids), -1)))

    def _chunk(
        self,
        actions: NDArray[np.float64],
        tokens: NDArray[np.int64],
        chances: NDArray[np.float32],
        stamp_ns: int,
    ) -> ActionChunk:
        turns = actions[:, 3:6]
        if self.rotations == "euler":
            turns = Rotation.from_euler("xyz", turns).as_rotvec()
        return ActionChunk(
            stamp_ns=stamp_ns,
            dt=self.dt,
            frame=self.frame,
            deltas=np.concatenate((actions[:, :3], turns), axis=1),
            gripper=actions[:, 6],
            token_ids=tokens,
            log_probabilities=chances,
        )

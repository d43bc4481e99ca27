"""Teachers of semantic features: frozen networks whose feature maps the renderer learns to reproduce.

A teacher sees whole pictures, neither cropped nor jittered, and gives one feature map per picture whose corners are the
picture's corners. No teacher at all is the other choice: then there is no semantic loss.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from .multiview import MultiViewSample

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RADIO_LICENCE = (
    "AM-RADIO's weights are under the NVIDIA Source Code License for RADIO, which allows non-commercial use alone; "
    "the C-RADIO versions are under a licence that allows commercial use. See the repository NVlabs/RADIO."
)


class SemanticTeacher(Protocol):
    """What gives the semantic targets."""

    channels: int

    def features(self, originals: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps (channels, th, tw) float32 of pictures (3, h, w) uint8, without gradients."""
        ...


class TeacherUnavailable(RuntimeError):
    """The teacher's weights or code are not here; the message says how to get them and under which licence."""


def sample_teacher(features: Sequence[Tensor], sample: MultiViewSample) -> Tensor:
    """The teacher's feature (R, C) at each ray of a sample.

    A ray's pixel is taken back through crop and resize to the whole picture, whose first and last pixel centres are the
    corners of the feature map (bilinear, align_corners).

    Raises:
        ValueError: if there is not one feature map per original.
    """
    if not len(features) == len(sample.originals) == len(sample.images):
        raise ValueError(
            f"{len(features)} feature maps and {len(sample.originals)} originals for {len(sample.images)} views of "
            f"{sample.name!r}; a data set for a teacher needs originals='color' or 'segmentation'"
        )
    targets = features[0].new_empty(len(sample.rays), features[0].shape[0])
    for view, (feature_map, original) in enumerate(zip(features, sample.originals, strict=True)):
        chosen = sample.rays.view == view
        pixel = sample.rays.pixel[chosen]
        matrix = sample.pixel_to_original[view]
        at = pixel @ matrix[:2, :2].T + matrix[:2, 2]
        last = at.new_tensor([original.shape[-1] - 1, original.shape[-2] - 1])
        grid = (at / last * 2.0 - 1.0).to(feature_map.dtype)[None, None]
        read = F.grid_sample(feature_map[None], grid, padding_mode="border", align_corners=True)
        targets[chosen] = read[0, :, 0].T
    return targets


class RadioTeacher:
    """AM-RADIO through torch.hub (ViT-H/16, 1280 channels): pictures of 1024 x 1024 in, maps of 64 x 64 out.

    Licence: NVIDIA Source Code License for RADIO, non-commercial (C-RADIO versions: commercial use allowed).
    """

    SIZE, PATCH = 1024, 16

    def __init__(
        self,
        version: str = "radio_v2",
        repository: str = "NVlabs/RADIO",
        device: torch.device | str = "cpu",
        size: int = SIZE,
        channels: int = 1280,
    ) -> None:
        """Load the model, from the network at first; ``repository`` may be a folder with a checkout of it.

        Raises:
            TeacherUnavailable: if it cannot be had.
        """
        source = "local" if Path(repository).is_dir() else "github"
        try:
            model: Any = torch.hub.load(
                repository, "radio_model", source=source, version=version, progress=True, skip_validation=True
            )
        except Exception as error:
            raise TeacherUnavailable(
                f"RADIO {version!r} could not be loaded from {repository!r} ({type(error).__name__}: {error}). With a "
                f"network: torch.hub.load('NVlabs/RADIO', 'radio_model', version={version!r}). Without: clone "
                f"NVlabs/RADIO, put its weights into {torch.hub.get_dir()}/checkpoints and give the clone's folder "
                "as repository. "
                f"{RADIO_LICENCE} Or train with another teacher, or none."
            ) from error
        self.channels, self.size = channels, size
        self.device = torch.device(device)
        self.model = model.to(self.device).eval().requires_grad_(False)

    @torch.no_grad()
    def features(self, originals: Sequence[Tensor]) -> list[Tensor]:
        """Maps (1280, 64, 64): pictures resized by Lanczos without keeping the ratio, bfloat16 inside."""
        maps = []
        for original in originals:
            image = _lanczos(original, self.size).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                _, tokens = self.model(image[None])
            maps.append(_as_map(tokens.float(), self.size // self.PATCH))
        return maps


class TransformersTeacher:
    """Any ViT of the transformers library whose last tokens are the patches: ViT, DINOv2, DINOv2 with registers.

    Licence: that of the model you name.
    """

    def __init__(
        self,
        name_or_path: str,
        image_size: int = 224,
        device: torch.device | str = "cpu",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """Load a model by hub name or folder; ``image_size`` is a multiple of its patch size.

        Raises:
            TeacherUnavailable: if transformers or the model is not there. ValueError: if it is not such a ViT.
        """
        try:
            from transformers import AutoModel
        except ImportError as error:
            raise TeacherUnavailable("this teacher needs transformers: pip install transformers") from error
        try:
            model = AutoModel.from_pretrained(name_or_path)
        except Exception as error:
            raise TeacherUnavailable(
                f"{name_or_path!r} could not be loaded ({type(error).__name__}: {error}); give a folder with "
                "config.json and model.safetensors, or a name on the hub and a network"
            ) from error
        patch = getattr(model.config, "patch_size", None)
        if not isinstance(patch, int) or image_size % patch:
            raise ValueError(
                f"{name_or_path!r} has patch size {patch!r} and image_size is {image_size}; expected a ViT and a "
                "multiple of its patch size"
            )
        self.channels, self.size, self.grid = int(model.config.hidden_size), image_size, image_size // patch
        self.device = torch.device(device)
        self.model: nn.Module = model.to(self.device).eval().requires_grad_(False)
        self._mean = torch.tensor(mean, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(3, 1, 1)

    @torch.no_grad()
    def features(self, originals: Sequence[Tensor]) -> list[Tensor]:
        """Maps (hidden size, grid, grid) of the last layer: pictures resized by Lanczos without keeping the ratio."""
        images = torch.stack([_lanczos(original, self.size) for original in originals]).to(self.device)
        images = (images - self._mean) / self._std
        # DINOv2 adapts its position table by itself and does not take the argument.
        adapts = "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters
        how = {"interpolate_pos_encoding": True} if adapts else {}
        tokens = self.model(pixel_values=images, **how).last_hidden_state.float()
        return [_as_map(one[None], self.grid) for one in tokens]


class SegmentationTeacher:
    """A fixed random direction for every class, for scenes whose classes are known: all right angles to each other.

    Needs a data set with ``originals="segmentation"``. Features between classes are blended, as a network's are.
    """

    def __init__(self, classes: int, channels: int = 64, size: int = 128, seed: int = 0) -> None:
        """``size``: side of the feature map.

        Raises:
            ValueError: if there are more classes than channels.
        """
        if classes > channels:
            raise ValueError(
                f"{classes} classes need at least as many channels to be orthogonal, got {channels}"
            )
        self.channels, self.size = channels, size
        noise = torch.randn(
            channels, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        #: (classes, channels) float32, orthonormal rows.
        self.embedding = torch.linalg.qr(noise)[0][:classes].float().contiguous()

    @torch.no_grad()
    def features(self, originals: Sequence[Tensor]) -> list[Tensor]:
        """Maps (channels, size, size) of class pictures, whose class is read from the first channel.

        Raises:
            ValueError: if there is a class that was not announced.
        """
        return [self._map(original[0].long()) for original in originals]

    def _map(self, classes: Tensor) -> Tensor:
        count = len(self.embedding)
        if int(classes.max()) >= count:
            raise ValueError(
                f"class {int(classes.max())} in a picture for a teacher of {count} classes; are these class pictures? "
                "The data set needs originals='segmentation'"
            )
        one_hot = F.one_hot(classes, count).permute(2, 0, 1)[None].float()
        small = F.interpolate(one_hot, size=(self.size, self.size), mode="bilinear", align_corners=True)
        return torch.einsum("khw,kc->chw", small[0], self.embedding.to(small.device))


def _lanczos(original: Tensor, size: int) -> Tensor:
    """A picture (3, h, w) uint8 as (3, size, size) float32 in [0, 1]."""
    picture = Image.fromarray(original.permute(1, 2, 0).contiguous().cpu().numpy())
    resized = np.array(picture.resize((size, size), Image.Resampling.LANCZOS))
    return torch.from_numpy(resized).permute(2, 0, 1).float() / 255.0


def _as_map(tokens: Tensor, grid: int) -> Tensor:
    """The last grid * grid tokens of (1, N, C) as (C, grid, grid)."""
    return tokens[0, -grid * grid :].T.reshape(-1, grid, grid)

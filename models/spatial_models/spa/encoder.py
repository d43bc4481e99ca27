"""The encoder that SPA's users call: an image in, one vector or a feature map out."""

from __future__ import annotations

import torch
from torch import Tensor

from .preprocessing import check_image, preprocess
from .vit import VisionTransformer


class SpaEncoder(VisionTransformer):
    """SPA's ViT with the preprocessing inside.

    Args:
        image_size, patch, width, depth, heads: as of :class:`VisionTransformer`.
        preprocess: resize and normalise inside :meth:`forward`. False is for export and for those who have done it
            already: the input then has to be normalised (:func:`.preprocessing.preprocess`) and of the model's size,
            and is used as it is. Normalising outside *and* inside goes unnoticed and spoils the features.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        preprocess: bool = True,
    ) -> None:
        super().__init__(image_size, patch, width, depth, heads)
        self.preprocess = preprocess

    def forward(self, image: Tensor, feature_map: bool = False, cat_cls: bool = True) -> Tensor:
        """Features after the final norm, in the type of the weights (or of autocast).

        Args:
            image: (N, 3, H, W), RGB in [0, 1], floating point, square; with ``preprocess=False`` (N, 3, S, S),
                normalised, S = ``image_size``.
            feature_map: return the patch tokens as a map instead of the class token.
            cat_cls: put the class token, repeated over the map, behind the map's channels.

        Returns:
            (N, D) the class token; with ``feature_map`` (N, 2D, h, w) or, without ``cat_cls``, (N, D, h, w), rows
            before columns, h = w = S / patch.

        Raises:
            TypeError: not a floating-point tensor.
            ValueError: not (N, 3, H, W), not square, or, without preprocessing, not of the model's size.
        """
        image = preprocess(image, self.image_size) if self.preprocess else self._as_given(image)
        tokens = self.transform(self.embed(image.to(self.cls_token.dtype)))
        cls = tokens[:, 0]
        if not feature_map:
            return cls
        features = tokens[:, 1:].transpose(1, 2).unflatten(2, (self.grid, self.grid))
        if cat_cls:
            return torch.cat((features, cls[:, :, None, None].expand_as(features)), dim=1)
        return features.contiguous()

    def freeze(self) -> SpaEncoder:
        """Switch gradients of the weights off; the mode stays (there is no dropout, so it makes no difference)."""
        return self.requires_grad_(False)

    def _as_given(self, image: Tensor) -> Tensor:
        check_image(image)
        if image.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"with preprocess=False the image has to be normalised and {self.image_size} x {self.image_size}, got "
                f"{image.shape[-2]} x {image.shape[-1]}; use preprocess=True, or preprocessing.preprocess(image, "
                f"{self.image_size}) before"
            )
        return image

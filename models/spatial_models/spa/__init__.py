"""SPA: a plain ViT with 3D awareness (arXiv 2410.08208)."""

from .vit import VisionTransformer

__all__ = ["VisionTransformer"]

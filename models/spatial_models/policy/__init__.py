"""The small policy: SPA-style encoder, Ego3D, adaptive action grid."""

from .decoder import ActionDecoder, DecoderOutput
from .ego3d import Ego3DPositionEncoding
from .policy import PolicyConfig, SpatialPolicy

__all__ = ["ActionDecoder", "DecoderOutput", "Ego3DPositionEncoding", "PolicyConfig", "SpatialPolicy"]

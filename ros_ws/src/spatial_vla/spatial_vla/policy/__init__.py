"""The policy as the robot runs it: preprocessing, encoder, decoder, and the manifest that binds them."""

from ..language import UnknownInstruction, Vocabulary
from .decoder import Decoder
from .encoder import Encoder
from .manifest import Manifest, ManifestError, default_bundle, read_manifest

__all__ = [
    "Decoder",
    "Encoder",
    "Manifest",
    "ManifestError",
    "UnknownInstruction",
    "Vocabulary",
    "default_bundle",
    "read_manifest",
]

"""Engines behind one protocol: named arrays in, named arrays out."""

from .onnxruntime import OnnxRuntimeSession
from .session import Session, TensorSpec, check_inputs

__all__ = ["OnnxRuntimeSession", "Session", "TensorSpec", "check_inputs"]

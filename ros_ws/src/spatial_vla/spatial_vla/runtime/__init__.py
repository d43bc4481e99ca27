"""Engines behind one protocol: named arrays in, named arrays out."""

from .choose import KINDS, Choice, choose, open_session
from .cuda import NoDevice
from .engine_file import EngineFile, EngineMismatch
from .machine import Machine, this_machine
from .onnxruntime import OnnxRuntimeSession
from .openvino import OpenVinoSession
from .session import SINGLE_PRECISION, Session, TensorSpec, check_inputs
from .token_loop import TokenLoop

__all__ = [
    "KINDS",
    "SINGLE_PRECISION",
    "Choice",
    "EngineFile",
    "EngineMismatch",
    "Machine",
    "NoDevice",
    "OnnxRuntimeSession",
    "OpenVinoSession",
    "Session",
    "TensorSpec",
    "TokenLoop",
    "check_inputs",
    "choose",
    "open_session",
    "this_machine",
]

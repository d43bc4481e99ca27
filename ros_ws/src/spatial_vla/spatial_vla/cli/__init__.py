"""The command line ``spatial-vla``."""

from .main import main

__all__ = ["main"]

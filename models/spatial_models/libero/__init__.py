"""LIBERO (arXiv 2306.03310) as an environment for evaluations, in a process and a Python of its own."""

from .client import LiberoEnvironment

__all__ = ["LiberoEnvironment"]

"""Environments whose packages would overwrite ours: a process under another interpreter, spoken to over its pipes."""

from .process import WorkerError, WorkerProcess, find_interpreter

__all__ = ["WorkerError", "WorkerProcess", "find_interpreter"]

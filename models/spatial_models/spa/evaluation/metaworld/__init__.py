"""Meta-World in a process and an environment of its own, because it pins a MuJoCo that is not ours."""

from .client import MetaWorld, Observation, interpreter

__all__ = ["MetaWorld", "Observation", "interpreter"]

"""How good is a policy? Its steps beside recorded ones, and episodes in an environment; any policy, any environment."""

from .closed_loop import Environment, Verdict, run_episode, run_episodes
from .observation import Observation, Policy
from .open_loop import ActionSet, Sample, open_loop_error

__all__ = [
    "ActionSet",
    "Environment",
    "Observation",
    "Policy",
    "Sample",
    "Verdict",
    "open_loop_error",
    "run_episode",
    "run_episodes",
]

"""From words to places in a scene: answers to questions, and the goal that an instruction with a relation names."""

from .answer import AnswerRules, SpatialAnswer, answer
from .goal import GoalRegion, GoalRules, NoPlace, ground, reached, region

__all__ = [
    "AnswerRules",
    "GoalRegion",
    "GoalRules",
    "NoPlace",
    "SpatialAnswer",
    "answer",
    "ground",
    "reached",
    "region",
]

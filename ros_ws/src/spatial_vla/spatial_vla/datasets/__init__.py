"""Recorded episodes of robots on disk: LeRobot's data sets, version 3, and RLDS, the format of Open X-Embodiment."""

from .episodes import Episodes, MissingPart, Moment, chunk_at
from .lerobot_reader import LeRobotEpisodes
from .lerobot_writer import LeRobotWriter

__all__ = ["Episodes", "LeRobotEpisodes", "LeRobotWriter", "MissingPart", "Moment", "chunk_at"]

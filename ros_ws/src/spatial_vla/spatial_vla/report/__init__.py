"""A run on disk: the bag that was recorded, and the page and the video made from it. No ROS needed."""

from .recorder import RunRecorder
from .run import Episode, Run, read_run
from .write import write_report

__all__ = ["Episode", "Run", "RunRecorder", "read_run", "write_report"]

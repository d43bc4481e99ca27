"""ROS 2 nodes, one per file: each converts messages, calls the core, and publishes.

Importing this package sets Fast DDS up for them, see :mod:`.middleware`.
"""

import os

from .middleware import middleware_settings

os.environ.update(middleware_settings(os.environ))

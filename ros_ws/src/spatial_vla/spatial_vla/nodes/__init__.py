"""ROS 2 nodes, one per file: each converts messages, calls the core, and publishes.

Importing this package chooses UDP for Fast DDS, unless FASTDDS_BUILTIN_TRANSPORTS says otherwise. Its shared memory
does not survive a killed process: the next one on the same port is discovered after ten seconds or more, sometimes
never, where UDP takes less than one; and nodes that die and come back are exactly what this stack has to cope with.
The price is below a millisecond from camera to action at 224 x 224 pixels.
"""

import os

os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")

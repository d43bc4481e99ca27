"""ROS 2 nodes, one per file: each converts messages, calls the core, and publishes.

Nodes that die and come back are exactly what this stack has to cope with, so importing this package sets Fast DDS up
for that, unless the environment says otherwise:

- UDP instead of shared memory, which does not survive a killed process: the next one on the same port is discovered
  after ten seconds or more, sometimes never, where UDP takes less than one. The price is below a millisecond from
  camera to action at 224 x 224 pixels.
- ``fastdds.xml``: killed processes are forgotten after three seconds, and sockets hold more than one image.
- Messages are sent from a thread of their own: sent from the caller's, a stream of messages larger than a datagram can
  stop for all its subscribers when one of them is killed, and stay stopped.
"""

import os
from pathlib import Path

os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).with_name("fastdds.xml")))
os.environ.setdefault("RMW_FASTRTPS_PUBLICATION_MODE", "ASYNCHRONOUS")

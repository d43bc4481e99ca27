"""How Fast DDS is set up for a graph whose nodes die and come back.

- UDP instead of shared memory, which does not survive a killed process: what comes in its place is discovered late or
  never, and streams of others may stop for good. The price is below a millisecond from camera to action at 224 x 224.
- A profile, by which killed processes are forgotten after three seconds, and sockets hold more than one image.
- Messages are sent from a thread of their own: sent from the caller's, a stream of messages larger than a datagram can
  stop for all its subscribers when one of them is killed, and stay stopped.

Where ROS_AUTOMATIC_DISCOVERY_RANGE is LOCALHOST, rmw_fastrtps would bring shared memory back, whatever else is asked
for, and open its sockets to the network. So there a profile takes its place, whose only transport is UDP on 127.0.0.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RANGE, PROFILE = "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"
TRANSPORTS, SENDING = "FASTDDS_BUILTIN_TRANSPORTS", "RMW_FASTRTPS_PUBLICATION_MODE"
VARIABLES = (RANGE, PROFILE, TRANSPORTS, SENDING)
ANYWHERE, LOOPBACK = (str(Path(__file__).with_name(name)) for name in ("fastdds.xml", "fastdds_loopback.xml"))


def middleware_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to ``environment``, or to change in it; what its user has set otherwise stays."""
    settings = {TRANSPORTS: "UDPv4", SENDING: "ASYNCHRONOUS"}
    settings = {name: environment.get(name, value) for name, value in settings.items()}
    profile, reach = environment.get(PROFILE), environment.get(RANGE)
    if profile not in (None, ANYWHERE, LOOPBACK):
        return settings
    if reach == "LOCALHOST" or (reach == "SYSTEM_DEFAULT" and profile == LOOPBACK):
        return {**settings, PROFILE: LOOPBACK, RANGE: "SYSTEM_DEFAULT"}
    return {**settings, PROFILE: ANYWHERE}

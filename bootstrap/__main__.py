"""Sets up a checkout, with ROS 2 from wheels or from an installed distribution. Started by ./setup.

Uses the standard library alone and any Python from 3.10 on, since nothing is installed yet.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from pathlib import Path

import distribution
import wheels
from mode import decide_mode
from state import State, digest

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Bring the checkout up to date with what is asked, or say what is missing."""
    parser = argparse.ArgumentParser(prog="./setup", description="Set up this checkout.")
    parser.add_argument("--dev", action="store_true", help="also what training, tests and linters need")
    parser.add_argument(
        "--mode",
        choices=["auto", "wheel", "ros"],
        default="auto",
        help="ROS 2 from wheels, or from the sourced distribution; auto: the latter if one is sourced",
    )
    arguments = parser.parse_args()
    (ROOT / ".setup").mkdir(exist_ok=True)
    with (ROOT / ".setup" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        set_up(arguments.mode, arguments.dev)


def set_up(requested_mode: str, dev: bool) -> None:
    """Install what is missing for this mode, and remember that it is there."""
    recorded = State.read(ROOT)
    mode = decide_mode(requested_mode, recorded.mode if recorded else None, os.environ)
    wanted = State(mode, dev or (recorded is not None and recorded.dev), digest(ROOT))
    if recorded == wanted and (ROOT / ".venv" / "bin" / "python").exists():
        if mode == "ros":
            # colcon installs copies, so sources that were edited have to be built again.
            distribution.build_workspace(ROOT)
        return
    started = time.monotonic()
    # The mode is written down first: an interrupted set-up may go on in the same mode only.
    State(mode, wanted.dev, "").write(ROOT)
    (wheels if mode == "wheel" else distribution).install(ROOT, wanted.dev)
    wanted.write(ROOT)
    print(f"setup: done in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

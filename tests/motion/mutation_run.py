"""Takes out the guards of the motion stage one by one, and says which test noticed.

python -m tests.motion.mutation_run
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .mutations import MUTATIONS

ROOT = Path(__file__).parents[2]


def run_without(name: str) -> tuple[int, str]:
    """Exit code and output of the tests that have to notice."""
    parts = MUTATIONS[name].tests.split()
    tests = [part if part.startswith("-") or part == "test_2" else f"tests/motion/{part}" for part in parts]
    plugins = ["-p", "tests.motion.mutations", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-qx", *plugins, *tests],
        cwd=ROOT,
        env={**os.environ, "MUTATE": name},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return done.returncode, done.stdout


def main() -> int:
    """Print the table; exit code 1 if a guard is not missed by any test."""
    survivors = 0
    width = max(map(len, MUTATIONS)) + 2
    print(f"{'without':<{width}}the first test that fails")
    for name in MUTATIONS:
        code, output = run_without(name)
        failed = re.search(r"^FAILED (?:tests/motion/)?(\S+)", output, re.MULTILINE)
        noticed = code == 1 and failed is not None
        survivors += not noticed
        print(f"{name:<{width}}{failed[1] if noticed and failed else f'NONE (exit code {code})'}", flush=True)
    print(f"{len(MUTATIONS)} guards, {survivors} of them not missed by any test")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())

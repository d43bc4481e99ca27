"""Taking out any single guard makes a test fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .mutations import MUTATIONS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_without_it_a_test_fails(name):
    tests = [
        part if part.startswith("-") or part == "test_2" else f"tests/motion/{part}"
        for part in MUTATIONS[name].tests.split()
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.motion.mutations",
        "-qx",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MUTATE": name},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 1 and " failed" in done.stdout, done.stdout[-2000:]

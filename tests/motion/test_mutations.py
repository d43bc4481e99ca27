"""Taking out any single guard makes a test fail."""

import pytest

from .mutation_run import run_without
from .mutations import MUTATIONS


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_without_it_a_test_fails(name):
    code, output = run_without(name)
    assert code == 1 and " failed" in output, output[-2000:]

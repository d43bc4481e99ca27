"""The live service in a running graph answers random questions about the simulated table with the truth."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks/ask_spatial.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("ask_spatial_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def ask(benchmark, folder, **arguments):
    return benchmark.ask_all(benchmark.Args(**arguments), folder / "parameters.yaml")


def test_a_few_questions(benchmark, tmp_path):
    figures = ask(benchmark, tmp_path, questions=12, scenes=2, whole=False)
    assert figures["questions"] == 12 and not figures["wrong"], figures["wrong"]


@pytest.mark.slow
def test_a_hundred_questions_to_the_whole_graph(benchmark, tmp_path):
    figures = ask(benchmark, tmp_path, questions=100, scenes=10)
    assert figures["questions"] == 100 and not figures["wrong"], figures["wrong"]
    assert len(figures["by_kind"]) >= 6

"""Who makes the shards: processes of this machine, or a Ray cluster. Of a worker that dies, the shard is redone."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from .shards import Plan, ShardResult, make_shard

#: So often in a row may workers die without finishing anything.
_PATIENCE = 3
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def in_processes(plan: Plan, out: str, todo: Sequence[int], workers: int) -> Iterator[ShardResult]:
    """Make shards in processes, one thread each.

    Raises:
        RuntimeError: if workers keep dying.
    """
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    left, died = list(todo), 0
    while left:
        finished = 0
        try:
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                for result in _submitted(pool, plan, out, left, workers):
                    left.remove(result.number)
                    finished += 1
                    yield result
        except BrokenProcessPool as error:
            died = 0 if finished else died + 1
            if died >= _PATIENCE:
                raise RuntimeError(
                    f"workers died {died} times without finishing any of shards {left[:workers]}; is there enough "
                    "memory? Try fewer workers or a smaller shard; what is finished is kept"
                ) from error


def _submitted(
    pool: ProcessPoolExecutor, plan: Plan, out: str, numbers: Sequence[int], workers: int
) -> Iterator[ShardResult]:
    """Results as they come; few shards wait in the queue at a time, so that a stop is quick."""
    rest, running = iter(list(numbers)), set[Future[ShardResult]]()
    while True:
        while len(running) < workers + 1 and (number := next(rest, None)) is not None:
            running.add(pool.submit(make_shard, plan, out, number))
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def on_ray(plan: Plan, out: str, todo: Sequence[int], address: str, workers: int) -> Iterator[ShardResult]:
    """Make shards as Ray tasks.

    Args:
        out: on a file system that all nodes share.
        address: of the cluster, "auto" for the one this machine belongs to, "local" for one of this process alone.
        workers: processors of a local one; 0 for all.

    Raises:
        ModuleNotFoundError: if Ray is not installed, with the command that installs it.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--ray needs Ray: pip install 'spatial_vla[ray]'; without it, all cores of this machine are used"
        ) from error
    settings: dict[str, Any] = {"address": address} if address != "local" else {"num_cpus": workers or None}
    environment = {"env_vars": dict.fromkeys(_THREADS, "1")}
    ray.init(**settings, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    try:
        task = ray.remote(num_cpus=1, max_retries=_PATIENCE)(make_shard)
        running = [task.remote(plan, out, number) for number in todo]
        while running:
            done, running = ray.wait(running, num_returns=1)
            yield from ray.get(done)
    finally:
        ray.shutdown()

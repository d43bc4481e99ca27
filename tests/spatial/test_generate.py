"""A run's files: the same for any number of workers, for workers that die, for runs that were stopped, and on Ray."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from pathlib import Path

import pytest
from spatial_vla.spatial.generate import GenerateArgs, main
from spatial_vla.spatial.shards import missing, shard_folder
from spatial_vla_sim.spatial_scenes import SimulatedTables

SCENES = "things=4,count=7,width=96,height=72"


class Deadly:
    """Simulated tables of which one kills the process that first asks for scene 4."""

    def __init__(self, inner, marker):
        self._inner, self._marker = inner, marker

    @classmethod
    def open(cls, location):
        tables, _, marker = location.partition(";")
        return cls(SimulatedTables.open(tables), Path(marker))

    def __len__(self):
        return len(self._inner)

    def scene(self, index):
        if index == 4 and not self._marker.exists():
            self._marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._inner.scene(index)

    def picture(self, index):
        return self._inner.picture(index)


class Fatal(Deadly):
    """Simulated tables that kill whoever asks for one."""

    def scene(self, index):
        os.kill(os.getpid(), signal.SIGKILL)
        return super().scene(index)


@pytest.fixture(name="deadly")
def _deadly(monkeypatch):
    # Workers are fresh processes: they find the class by its module's name.
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    )
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return f"{Path(__file__).stem}:Deadly"


def args(out, **more):
    settings = {"location": SCENES, "shard": 2, "validation": 0.3, "formats": ("jsonl", "llava", "parquet")}
    return GenerateArgs(out, **(settings | more))


def content(folder):
    """All files of a run but those that tell who made it."""
    skip = {"run.json", "plan.json"}
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in skip
    }


@pytest.fixture(name="alone", scope="module")
def _alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    main(args(folder, workers=1))
    return content(folder)


def test_a_worker_that_is_killed_changes_nothing(tmp_path, alone, deadly):
    out = tmp_path / "out"
    main(args(out, workers=2, source=deadly, location=f"{SCENES};{tmp_path / 'killed'}"))
    assert (tmp_path / "killed").exists()
    assert content(out) == alone
    assert not (out / "shards").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_on_ray_a_worker_that_is_killed_changes_nothing(tmp_path, alone, deadly):
    out = tmp_path / "out"
    main(args(out, workers=2, ray="local", source=deadly, location=f"{SCENES};{tmp_path / 'killed'}"))
    assert (tmp_path / "killed").exists()
    assert content(out) == alone


def test_a_run_goes_on_where_it_was_stopped(tmp_path, alone, monkeypatch):
    import spatial_vla.spatial.generate as module

    made = module.in_processes

    def stopped(*given):
        for number, result in enumerate(made(*given)):
            yield result
            if number == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(module, "in_processes", stopped)
    with pytest.raises(KeyboardInterrupt):
        main(args(tmp_path, workers=1))
    left = missing(tmp_path, args(tmp_path).plan())
    assert 0 < len(left) < 4
    stamps = {n: shard_folder(tmp_path, n).stat().st_mtime_ns for n in range(4) if n not in left}
    monkeypatch.setattr(module, "in_processes", made)
    monkeypatch.setattr(module, "join", lambda plan, out: {"kept": [s == shard_folder(out, n).stat().st_mtime_ns
                                                                    for n, s in stamps.items()]})  # fmt: skip
    assert all(main(args(tmp_path, workers=1))["kept"])
    monkeypatch.undo()
    main(args(tmp_path, workers=1))
    assert content(tmp_path) == alone
    # Called once more there is nothing to do.
    assert main(args(tmp_path, workers=1)) == json.loads((tmp_path / "report.json").read_text())


def test_other_settings_need_another_folder(tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(FileExistsError, match="other settings"):
        main(args(tmp_path))


def test_workers_that_keep_dying_are_told_of(tmp_path, deadly):
    fatal = deadly.replace("Deadly", "Fatal")
    with pytest.raises(RuntimeError, match="fewer workers"):
        main(args(tmp_path, workers=1, source=fatal, location=f"{SCENES};{tmp_path / 'killed'}"))


def test_files_are_read_by_the_datasets_library(tmp_path, alone):
    import pyarrow.parquet as pq

    files = sorted(name for name in alone if name.endswith(".parquet"))
    assert [name.split("/")[1] for name in files if "train" in name] == [
        f"train-{k:05d}-of-00004.parquet" for k in range(4)
    ]
    rows = 0
    for name in files:
        path = tmp_path / Path(name).name
        path.write_bytes(alone[name])
        rows += pq.read_table(path).num_rows
    report = json.loads(alone["report.json"])
    assert rows == report["train"]["questions"] + report["validation"]["questions"]

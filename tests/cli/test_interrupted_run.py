"""What was done before a run ended early is kept."""

import json

import pytest
from spatial_vla.cli import session
from spatial_vla.cli.eval import Eval
from spatial_vla.cli.run import Run
from spatial_vla.cli.session import Interrupted, RunFailed, TaskOutcome


def one_of_three(error):
    def run_tasks(plan, arguments, log, results, *, out=None):
        assert plan.tasks == 3
        results.outcomes.append(TaskOutcome(7, "touch it", "touch", True, "", "", 0.01, 2.0, 9, 20.0))
        raise error

    return run_tasks


@pytest.mark.parametrize(("error", "code"), [(Interrupted(), 130), (RunFailed("a node keeps dying"), 1)])
def test_an_evaluation_tells_and_writes_the_episodes_that_were_done(
    error, code, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(session, "run_tasks", one_of_three(error))
    output = tmp_path / "eval.json"
    assert Eval(episodes=3, output=output, log=tmp_path / "log").run() == code
    written = json.loads(output.read_text())
    assert (written["planned"], written["episodes"], written["success"]) == (3, 1, 1.0)
    assert [outcome["seed"] for outcome in written["outcomes"]] == [7]
    assert "only 1 of 3" in capsys.readouterr().err


def test_a_run_keeps_its_tasks_and_says_how_to_look_at_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(session, "run_tasks", one_of_three(Interrupted()))
    assert Run(tasks=3, output=tmp_path).run() == 130
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "tasks.json").read_text())[0]["instruction"] == "touch it"
    assert f"spatial-vla report {folder}" in capsys.readouterr().err

"""What actions lose in adaptive and in uniform grids, how many tokens that takes, and how the cells lie in space.

    python benchmarks/action_grid.py RECORDING [--checkpoint FOLDER] [--out DIR] [--picture FILE.png]

RECORDING is what ``spatial-vla-record`` wrote, or a .npy or .csv file of steps (x, y, z, roll, pitch, yaw, gripper).
The Gaussians are fitted to one half of the steps, the errors measured on the other. Other splits follow: other random
halves, and the first half of the recording against the second, which holds other scenes. For the translation it is also
said how much each coordinate alone costs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import tyro
from matplotlib import pyplot as plt
from mpl_toolkits.mplot3d import Axes3D
from numpy.typing import NDArray
from spatial_vla.actions import ActionGrid, ActionStatistics
from spatial_vla.actions.grid import cartesian, polar
from spatial_vla.actions.quantisation import GridCells, as_table, quantisation_report
from spatial_vla.actions.recorded import read_actions
from spatial_vla.actions.report import Report
from spatial_vla.report.environment import device, versions

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (0.0, 0.5, 1.0)
LIKELIEST = ("likeliest", "likeliest, no motion")
COMPARED = ("uniform polar", "adaptive", "adaptive, no motion", *LIKELIEST)
COORDINATES = ("theta", "phi", "r")


@dataclass
class Benchmark:
    """Quantisation error and token count of action grids on recorded steps."""

    actions: tyro.conf.Positional[Path]
    """Folder of a recording, or a .npy or .csv file."""

    checkpoint: Path | None = None
    """SpatialVLA checkpoint whose own grid is compared; without: the released one."""

    out: Path = ROOT / "benchmarks/results"
    """Folder for action_grid.json."""

    picture: Path = ROOT / "docs/images/action_grid.png"
    """Where to draw the translation cells."""

    seed: int = 0
    """Of the halves."""

    def run(self) -> None:
        """Measure, print, write, draw."""
        actions = read_actions(self.actions)
        half = splits(len(actions), self.seed)["random"]
        statistics = ActionStatistics.fit(actions[half], symmetric=True)
        unit = statistics.normalise(actions)
        made = {
            floor: Report(self.actions, checkpoint=self.checkpoint, min_sigma=floor).quantisers(unit[half])
            for floor in FLOORS
        }
        grids = {name: made[0.0][name] for name in ("uniform 256 per number", "uniform polar", "released")}
        for name in ("adaptive", "adaptive, no motion"):
            grids |= {f"{name}, floor {floor}": made[floor][name] for floor in FLOORS}
        grids |= {name: made[0.0][name] for name in LIKELIEST}
        scale = 0.5 * (statistics.q99 - statistics.q01)[:6]
        results = {
            "device": device(),
            "versions": versions(),
            "steps": {"fitted": int(half.sum()), "measured": int((~half).sum())},
            "still_share": float((np.abs(unit[:, :3]).max(axis=1) < 1e-4).mean()),
            "quantile_99": statistics.q99[:6].tolist(),
        }
        for name, by in (("normalised", 1.0), ("m_and_rad", scale)):
            report = quantisation_report(grids, unit[~half], by)
            print(f"\n{name}\n{as_table(report, 4 if name == 'normalised' else 5)}")
            results[name] = {grid: found.fields() for grid, found in report.items()}
        shares = {
            n: by_coordinate(g.grid, unit[~half, :3], scale[:3])
            for n, g in grids.items()
            if isinstance(g, GridCells)
        }
        print(f"\nmean translation error from one coordinate alone [mm]\n{lines(shares, COORDINATES)}")
        others = self.other_splits(actions)
        print(f"\nother splits: mean translation [mm] and rotation [mrad]\n{lines(others, COMPARED)}")
        results |= {"translation_mm_by_coordinate": shares, "splits": others}
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "action_grid.json").write_text(json.dumps(results, indent=1) + "\n")
        shown = {
            "uniform polar": "uniform polar",
            "adaptive": "adaptive, floor 0.5",
            "likeliest": "likeliest",
        }
        shown = {title: grids[name] for title, name in shown.items()}
        draw(self.picture, {k: g for k, g in shown.items() if isinstance(g, GridCells)}, unit[~half, :3])

    def other_splits(self, actions: NDArray[np.float64]) -> dict[str, dict[str, list[float]]]:
        """By split and grid: mean length of translation [mm] and of rotation error [mrad]."""
        found: dict[str, dict[str, list[float]]] = {}
        for name, half in splits(len(actions), self.seed).items():
            statistics = ActionStatistics.fit(actions[half], symmetric=True)
            unit = statistics.normalise(actions)
            quantisers = Report(self.actions, checkpoint=self.checkpoint).quantisers(unit[half])
            chosen = {grid: quantisers[grid] for grid in COMPARED}
            scale = 0.5 * (statistics.q99 - statistics.q01)[:6]
            report = quantisation_report(chosen, unit[~half], scale)
            found[name] = {grid: [1e3 * r.translation, 1e3 * r.rotation] for grid, r in report.items()}
        return found


def splits(steps: int, seed: int) -> dict[str, NDArray[np.bool_]]:
    """Which steps to fit to, by split; the others are measured."""
    halves = {
        f"random, seed {s}" if s != seed else "random": np.random.default_rng(s).permutation(steps) % 2 == 0
        for s in (seed, seed + 1, seed + 2)
    }
    return {
        **halves,
        "first half": np.arange(steps) < steps // 2,
        "second half": np.arange(steps) >= steps // 2,
    }


def by_coordinate(
    grid: ActionGrid, translations: NDArray[np.float64], scale: NDArray[np.float64]
) -> dict[str, list[float]]:
    """Mean length [mm] of the error when theta, phi or r alone is that of its cell's middle."""
    exact, found = polar(translations), {}
    moving = exact[:, 2] >= grid.r[0]
    for i, name in enumerate(COORDINATES):
        edges = getattr(grid, name)
        cell = np.clip(np.searchsorted(edges, exact[:, i], side="right") - 1, 0, len(edges) - 2)
        coarse = exact.copy()
        coarse[:, i] = 0.5 * (edges[cell] + edges[cell + 1])
        back = np.clip(cartesian(coarse), -1.0, 1.0)
        off = np.linalg.norm((back - translations) * scale, axis=1)
        found[name] = [1e3 * float(np.where(moving, off, 0.0).mean())]
    return found


def lines(rows: dict[str, dict[str, list[float]]], columns: tuple[str, ...]) -> str:
    """A Markdown table."""
    out = ["| | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name, found in rows.items():
        cells = [", ".join(f"{v:.2f}" for v in found[column]) for column in columns]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def draw(path: Path, grids: dict[str, GridCells], translations: NDArray[np.float64]) -> None:
    """Centres of the translation cells of each grid, coloured by how many of the actions they hold."""
    figure = plt.figure(figsize=(5.5 * len(grids), 5), dpi=100, layout="constrained")
    panels, dots = [], None
    for i, (name, quantiser) in enumerate(grids.items()):
        grid = quantiser.grid
        steps = np.concatenate((translations, np.zeros_like(translations)), axis=1)
        used = np.bincount(grid.encode(steps, np.zeros(len(steps)))[:, 0], minlength=grid.cells[0])
        centres, few = grid.centres()[0], used == 0
        axes = figure.add_subplot(1, len(grids), i + 1, projection="3d", computed_zorder=False)
        assert isinstance(axes, Axes3D)
        axes.scatter(*centres[few].T, s=2, c="0.75", depthshade=False)
        counts = np.log10(used[~few])
        dots = axes.scatter(
            *centres[~few].T, s=8, c=counts, vmin=0, vmax=2.5, cmap="plasma", depthshade=False
        )
        axes.set_title(
            f"{name}: {100 * (~few).mean():.0f} % of {grid.cells[0]} cells in use", fontsize="medium"
        )
        axes.set(xlabel="x", ylabel="y", zlabel="z", xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), zlim=(-1.4, 1.4))
        axes.set_box_aspect((1, 1, 1))
        panels.append(axes)
    if dots is not None:
        figure.colorbar(dots, ax=panels, shrink=0.7, label="actions in the cell (log10)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()

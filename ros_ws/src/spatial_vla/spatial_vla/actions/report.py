"""``python -m spatial_vla.actions.report``: what a set of actions loses in several grids, as a table and as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from .bin_policy import grid_from_bin_policy, read_processor_config
from .gaussians import RELEASED_GAUSSIANS, RELEASED_MIN_SIGMA, ActionGaussians, uniform_grid
from .quantisation import AxisBins, GridCells, Quantiser, as_table, quantisation_report
from .recorded import read_actions
from .statistics import ActionStatistics


@dataclass
class Report:
    """Quantisation error by dimension of adaptive and uniform grids on a set of actions."""

    actions: tyro.conf.Positional[Path]
    """Steps of seven numbers: a .npy or .csv file, or the folder of recorded demonstrations."""

    checkpoint: Path | None = None
    """Folder of a SpatialVLA checkpoint, whose own grid is compared too; without: the released one."""

    dead_zone: float = 0.02
    """Of the adaptive grid that can stand still, in normalised units."""

    min_sigma: float = RELEASED_MIN_SIGMA
    """Floor for the fitted standard deviations. Without one, cells far from the mean are wide, and their mid-points
    far from what was meant."""

    physical: bool = False
    """Report metres and radians in place of normalised units."""

    seed: int = 0
    """Of the halves: the first is fitted to, the second measured on."""

    out: Path | None = None
    """JSON file to write."""

    def run(self) -> int:
        """Print the table; 0 when done, 2 when the input cannot be used."""
        try:
            actions = read_actions(self.actions)
            half = np.random.default_rng(self.seed).permutation(len(actions)) % 2 == 0
            statistics = ActionStatistics.fit(actions[half], symmetric=True)
            unit = statistics.normalise(actions)
            scale = 0.5 * (statistics.q99 - statistics.q01)[:6] if self.physical else 1.0
            report = quantisation_report(self.quantisers(unit[half]), unit[~half], scale)
        except (OSError, ValueError) as error:
            print(f"spatial_vla.actions.report: {error}", file=sys.stderr)
            return 2
        print(as_table(report, digits=5 if self.physical else 4))
        if self.out:
            fields = {name: found.fields() for name, found in report.items()}
            unit_name = "m and rad" if self.physical else "normalised"
            text = json.dumps({"steps": int((~half).sum()), "unit": unit_name, "grids": fields}, indent=1)
            self.out.write_text(text + "\n")
        return 0

    def quantisers(self, fitted_to: np.ndarray) -> dict[str, Quantiser]:
        """The grids by name; ``fitted_to`` (N, 7) normalised."""
        released = RELEASED_GAUSSIANS.grid()
        if self.checkpoint:
            released = grid_from_bin_policy(read_processor_config(self.checkpoint)["bin_policy"])
        moving, likeliest = (
            ActionGaussians.fit(fitted_to, dead_zone=self.dead_zone, likelihood=way) for way in (False, True)
        )
        whole = ActionGaussians.fit(fitted_to, likelihood=True)
        return {
            "adaptive": GridCells(ActionGaussians.fit(fitted_to).grid(min_sigma=self.min_sigma)),
            "adaptive, no floor": GridCells(ActionGaussians.fit(fitted_to).grid(min_sigma=0.0)),
            "adaptive, no motion": GridCells(moving.grid(min_sigma=self.min_sigma, dead_zone=self.dead_zone)),
            "likeliest": GridCells(whole.grid(min_sigma=0.0)),
            "likeliest, no motion": GridCells(likeliest.grid(min_sigma=0.0, dead_zone=self.dead_zone)),
            "released": GridCells(released),
            "uniform polar": GridCells(uniform_grid()),
            "uniform 256 per number": AxisBins(),
        }


if __name__ == "__main__":
    sys.exit(tyro.cli(Report).run())

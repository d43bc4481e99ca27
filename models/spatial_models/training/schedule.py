"""Learning rate of fine-tuning: rises linearly, then falls linearly to nothing."""

from __future__ import annotations

from typing import Any

import torch


def linear_schedule(optimiser: torch.optim.Optimizer, warmup: float, total: int) -> dict[str, Any]:
    """What Lightning's ``configure_optimizers`` returns.

    Args:
        warmup: share of the steps in which the rate rises. total: optimiser steps in all.
    """
    rising = max(1, round(warmup * total))

    def factor(step: int) -> float:
        return min((step + 1) / rising, max(0.0, (total - step) / max(1, total - rising)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

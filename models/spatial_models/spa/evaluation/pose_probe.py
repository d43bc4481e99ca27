"""A learned probe for relative camera pose on frozen features, in the way of probe3d and of SPA's camera-pose table.

Pose of a pair of views 0, 1: what brings points of the camera frame of view 0 into that of view 1,
``camera_1_from_camera_0``: rotation R_1 R_0^-1 and translation in metres. The head is given the features of both views
and regresses a unit quaternion (w, x, y, z) with non-negative real part, and the translation: seven numbers, one mean
squared error. Pairs turned by less than 180 degrees meet no discontinuity of that half of the quaternions. The shape of
the published head is not known; ours is a perceptron with one hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from spatial_vla.geometry import SE3
from torch import Tensor, nn
from torch.nn import functional as F

#: Errors up to which a pair counts as right; every rotation threshold, every translation threshold, and both at once
#: row by row.
ROTATION_THRESHOLDS = (5.0, 15.0, 30.0)  # degrees
TRANSLATION_THRESHOLDS = (0.05, 0.1, 0.25)  # metres
HIDDEN = 512


@dataclass(frozen=True)
class ProbeSettings:
    """How the head is trained.

    Attributes:
        epochs, rate, warm_up: AdamW with the one-cycle schedule, its peak, and its rising share.
        batch: pairs per step. seed: of weights and order.
    """

    epochs: int = 100
    rate: float = 1e-3
    warm_up: float = 0.1
    batch: int = 128
    seed: int = 0


def relative_pose(first: SE3, second: SE3) -> NDArray[np.float64]:
    """(7,) unit quaternion (w, x, y, z), w >= 0, and translation [m] of camera_1_from_camera_0."""
    pose = second @ first.inverse()
    x, y, z, w = pose.quaternion()
    quaternion = np.array([w, x, y, z])
    return np.concatenate((quaternion if w >= 0 else -quaternion, pose.translation))


def relative_poses(poses: Sequence[SE3], pairs: NDArray[np.int64]) -> Tensor:
    """(P, 7) float32 for pairs (P, 2) of indices."""
    return torch.from_numpy(np.stack([relative_pose(poses[i], poses[j]) for i, j in pairs])).float()


class PoseHead(nn.Module):
    """Features (N, 2 D) of two views to pose (N, 7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # The scale of features differs between encoders by orders of magnitude; the rate does not.
        self.layers = nn.Sequential(
            nn.BatchNorm1d(2 * width, affine=False),
            nn.Linear(2 * width, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, 7),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def fit_head(features: Tensor, targets: Tensor, settings: ProbeSettings, device: str = "cpu") -> PoseHead:
    """Train a head on pair features (P, 2 D) and poses (P, 7); the last epoch counts, nothing is selected.

    Raises:
        ValueError: fewer than two pairs.
    """
    if len(features) < 2:
        raise ValueError(
            f"{len(features)} pairs to train on; the pose probe needs two or more scenes with views"
        )
    torch.manual_seed(settings.seed)
    head = PoseHead(features.shape[1] // 2).to(device)
    batches = max(len(features) // settings.batch, 1)
    optimiser = torch.optim.AdamW(head.parameters(), settings.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.rate, total_steps=settings.epochs * batches, pct_start=settings.warm_up
    )
    features, targets = features.to(device), targets.to(device)
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(features), device=device).tensor_split(batches):
            loss = F.mse_loss(head(features[rows]), targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return head.eval()


def pose_errors(predicted: Tensor, true: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation error [deg] and translation error [m] of poses (P, 7); predicted quaternions are normalised first."""
    q = F.normalize(predicted[:, :4].double(), dim=1)
    cosine = (q * F.normalize(true[:, :4].double(), dim=1)).sum(dim=1).abs().clamp(max=1.0)
    translation = (predicted[:, 4:].double() - true[:, 4:].double()).norm(dim=1)
    return torch.rad2deg(2.0 * cosine.acos()).numpy(), translation.numpy()


def summary(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Median and mean errors, and shares of pairs within the thresholds."""
    rotation, translation = pose_errors(predicted, true)
    figures = {
        "rotation_median_deg": float(np.median(rotation)),
        "rotation_mean_deg": float(rotation.mean()),
        "translation_median_m": float(np.median(translation)),
        "translation_mean_m": float(translation.mean()),
    }
    for degrees in ROTATION_THRESHOLDS:
        figures[f"rotation_within_{degrees:g}deg"] = float((rotation <= degrees).mean())
    for metres in TRANSLATION_THRESHOLDS:
        figures[f"translation_within_{metres:g}m"] = float((translation <= metres).mean())
    for degrees, metres in zip(ROTATION_THRESHOLDS, TRANSLATION_THRESHOLDS, strict=True):
        both = (rotation <= degrees) & (translation <= metres)
        figures[f"pose_within_{degrees:g}deg_{metres:g}m"] = float(both.mean())
    return figures

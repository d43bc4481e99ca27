"""Data of the pre-training: posed RGB-D scenes in, ``MultiViewSample``s out."""

from .batches import AlternatingBatches, collate
from .dataset import MultiViewDataset
from .posed_rgbd import PosedRgbdDataset
from .sample import RejectedSample, RgbdView, Sampling, build_sample
from .scannet import ScanNetDataset

__all__ = [
    "Sampling",
    "RgbdView",
    "build_sample",
    "RejectedSample",
    "MultiViewDataset",
    "PosedRgbdDataset",
    "ScanNetDataset",
    "AlternatingBatches",
    "collate",
]

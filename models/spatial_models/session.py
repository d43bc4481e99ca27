"""PyTorch behind the runtime's protocol: the reference that engines are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from spatial_vla.runtime.buffered import BufferedSession
from spatial_vla.runtime.session import TensorSpec
from torch import Tensor, nn


class TorchSession(BufferedSession):
    """A :class:`~spatial_vla.runtime.Session` over a module.

    Args:
        module: takes the tensors of ``examples`` in their order, gives a tensor or a tuple of tensors.
        examples: inputs by name; they say shapes and types.
        outputs: names of what the module gives.
        dtype: what floating-point operations compute in (autocast); None: what weights and inputs are of.
        device: where the module is, and the inputs are taken to.
    """

    def __init__(
        self,
        module: nn.Module,
        examples: dict[str, Tensor],
        outputs: Sequence[str],
        dtype: torch.dtype | None = None,
        device: str = "cpu",
    ) -> None:
        self._module, self._autocast = module.eval().to(device), dtype
        self._place = device
        found = self._call(list(examples.values()))
        if len(found) != len(outputs):
            raise ValueError(f"the module gives {len(found)} tensors, named are {list(outputs)}")
        kind = str(dtype or torch.float32).removeprefix("torch.")
        super().__init__(
            tuple(_spec(name, tensor) for name, tensor in examples.items()),
            tuple(_spec(name, tensor) for name, tensor in zip(outputs, found, strict=True)),
            f"torch {torch.__version__} {device} {kind}, {torch.get_num_threads()} thread(s)",
        )
        self._inputs = [torch.from_numpy(array) for array in self._arrays.values()]
        self._targets = [torch.from_numpy(array) for array in self._results.values()]

    def _call(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        on = self._autocast is not None
        with torch.inference_mode(), torch.autocast(self._place, self._autocast, enabled=on):
            found = self._module(*(tensor.to(self._place) for tensor in inputs))
        return found if isinstance(found, tuple) else (found,)

    def _execute(self) -> None:
        for target, value in zip(self._targets, self._call(self._inputs), strict=True):
            target.copy_(value)

    def _release(self) -> None:
        del self._module


def open_stage(model: Path, threads: int) -> TorchSession:
    """The stage of a policy bundle whose ``.onnx`` would be ``model``, from the weights beside it.

    Raises:
        FileNotFoundError: the folder holds no PyTorch weights. ValueError: it has no such stage.
    """
    from .policy.stages import policy_stages
    from .training.bundle import read_bundle

    torch.set_num_threads(threads)
    policy, _, words = read_bundle(model.parent)
    stages = policy_stages(policy, words)
    if model.stem not in stages:
        raise ValueError(f"no stage {model.stem!r} in {model.parent}; there are {', '.join(stages)}")
    stage = stages[model.stem]
    return TorchSession(stage.module, stage.examples, stage.outputs)


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    dtype = tensor.dtype if tensor.dtype != torch.bfloat16 else torch.float32
    return TensorSpec(name, tuple(tensor.shape), str(dtype).removeprefix("torch."))

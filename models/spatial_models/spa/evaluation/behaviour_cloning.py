"""A small policy on frozen features that imitates demonstrations: the single-task protocol of VC-1 and SPA.

The policy's input is the concatenation of the latest of three frames' features, the differences between successive ones
(Flare, arXiv 2101.01857), and what the robot knows of itself. Before the first frames the first one is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAMES = 3
HIDDEN = (256, 256, 256)


@dataclass(eq=False)
class Episode:
    """What was seen and done; one entry more is seen than done.

    Attributes:
        seed: of the start. features: (D,) each. proprioception: (P,) each. actions: (A,) each.
        success: whether the task was done at any moment.
    """

    seed: int
    features: list[Tensor] = field(default_factory=list)
    proprioception: list[Tensor] = field(default_factory=list)
    actions: list[Tensor] = field(default_factory=list)
    success: bool = False

    def policy_input(self, time: int = -1) -> Tensor:
        """(FRAMES D + P,) what the policy is given at step ``time``."""
        last = range(len(self.features))[time]
        window = [self.features[max(last - back, 0)] for back in range(FRAMES)]
        changes = [newer - older for newer, older in pairwise(window)]
        return torch.cat((window[0], *changes, self.proprioception[last]))


class Policy(nn.Module):
    """Multi-layer perceptron with batch normalisation of its input.

    Args:
        inputs: width of the input. actions: width A of the action.
    """

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(inputs)]
        for width, wider in zip((inputs, *HIDDEN), HIDDEN, strict=False):
            layers += [nn.Linear(width, wider), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(HIDDEN[-1], actions))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, A)."""
        return self.layers(x)


def imitate(
    demonstrations: Sequence[Episode],
    epochs: int = 100,
    batch: int = 256,
    rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[tuple[int, float, Policy]]:
    """Fit a policy to demonstrations with mean squared error and Adam.

    Yields:
        After every epoch its number from 1, its mean loss, and the policy in evaluation mode (always the same object).
    """
    torch.manual_seed(seed)
    steps = [(e, t) for e in demonstrations for t in range(len(e.actions))]
    if len(steps) < 2:
        raise ValueError(
            f"{len(demonstrations)} demonstrations hold {len(steps)} steps; imitation needs two or more"
        )
    x = torch.stack([e.policy_input(t) for e, t in steps]).to(device)
    y = torch.stack([e.actions[t] for e, t in steps]).to(device)
    policy = Policy(x.shape[1], y.shape[1]).to(device)
    optimiser = torch.optim.Adam(policy.parameters(), rate)
    for epoch in range(1, epochs + 1):
        policy.train()
        losses = []
        for rows in torch.randperm(len(x)).split(batch):
            if len(rows) < 2:  # no variance to normalise with
                continue
            loss = F.mse_loss(policy(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        yield epoch, float(torch.stack(losses).mean()), policy.eval()


def acting(policy: Policy, device: str = "cpu") -> Callable[[Sequence[Episode]], Tensor]:
    """The policy as what :func:`.policy_probe.play` asks for actions: episodes to (n, A)."""

    @torch.inference_mode()
    def act(episodes: Sequence[Episode]) -> Tensor:
        return policy(torch.stack([e.policy_input() for e in episodes]).to(device)).cpu()

    return act

"""The small policy's networks: shapes and the properties that make them spatial."""

import numpy as np
import pytest
import torch
from spatial_models.policy import PolicyConfig, SpatialPolicy
from spatial_models.policy.ego3d import Ego3DPositionEncoding, FourierFeatures
from spatial_models.spa.vit import VisionTransformer, sincos_position_table
from spatial_models.training.module import soft_cell_loss
from spatial_vla.actions import ActionGrid

SMALL = PolicyConfig(
    image_size=64, width=64, depth=1, heads=1, decoder_width=64, decoder_depth=1, decoder_heads=2
)


@pytest.fixture(scope="module")
def policy() -> SpatialPolicy:
    torch.manual_seed(0)
    steps = np.random.default_rng(0).normal(0, 0.01, (500, 6))
    grid = ActionGrid.fit(
        steps, cells=(4, 8, 4, 3, 3, 3), translation_scale=0.05, rotation_scale=0.3, dead_zone=0.03
    )
    return SpatialPolicy(SMALL, grid, vocabulary=20).eval()


def inputs(n: int, k: int) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(1)
    return (
        torch.rand(n, 3, 64, 64, generator=g),
        torch.rand(n, 16, 16, 3, generator=g),
        torch.ones(n, 16, 16, dtype=torch.bool),
        torch.rand(n, 10, generator=g),
        torch.randint(1, 20, (n * k, 12), generator=g),
    )


def test_encoder_has_the_released_layout() -> None:
    """SPA base: 150 tensors, 85,798,656 parameters."""
    base = VisionTransformer(224, 16, 768, 12, 12)
    state = base.state_dict()
    assert len(state) == 150 and sum(t.numel() for t in state.values()) == 85_798_656
    assert state["blocks.11.attn.qkv.weight"].shape == (2304, 768)


def test_position_table_starts_with_a_zero_row_and_tells_columns_from_rows() -> None:
    table = sincos_position_table(64, 4)[0]
    assert not table[0].any()
    grid = table[1:].view(4, 4, 64)
    assert torch.equal(grid[0, :, 32:], grid[0, :1, 32:].expand(4, -1))  # second half: the row
    assert torch.equal(grid[:, 0, :32], grid[:1, 0, :32].expand(4, -1))  # first half: the column


def test_several_instructions_of_one_image_give_what_each_gives_alone(policy: SpatialPolicy) -> None:
    image, points, valid, state, words = inputs(2, 3)
    with torch.no_grad():
        together = policy(image, points, valid, state, words)
        alone = policy(image[1:], points[1:], valid[1:], state[1:], words[5:])
    assert torch.allclose(together.target[5:], alone.target, atol=1e-5)
    assert torch.allclose(together.translation[5:], alone.translation, atol=1e-4)


def test_the_pointer_never_points_at_an_invalid_cell(policy: SpatialPolicy) -> None:
    image, points, valid, state, words = inputs(1, 1)
    valid[:] = False
    valid[0, 3, 5] = True
    with torch.no_grad():
        out = policy(image, points, valid, state, words)
    assert out.cell_logits[0, :-1].argmax() == 3 * 16 + 5
    assert (out.target[0] - points[0, 3, 5]).norm() < 0.2


def test_moving_target_and_tool_together_keeps_the_step_input(policy: SpatialPolicy) -> None:
    """The act stage sees the target relative to the tool."""
    decoder = policy.decoder
    state, target = torch.rand(1, 10), torch.rand(1, 3)
    moved, shift = state.clone(), torch.tensor([[0.1, -0.2, 0.05]])
    moved[:, :3] += shift
    blank = torch.zeros(1, 64)
    a = decoder._relative(target, state, blank, blank)
    b = decoder._relative(target + shift, moved, blank, blank)
    assert torch.allclose(a[:, :9], b[:, :9], atol=1e-5)


def test_fourier_features_are_blocks_per_scalar() -> None:
    out = FourierFeatures(8)(torch.tensor([[0.5, -0.25]]))
    assert out.shape == (1, 34)
    assert out[0, 0] == 0.5 and out[0, 17] == -0.25
    assert out[0, 2] == pytest.approx(np.sin(1.0), abs=1e-6)  # 2^1 * 0.5


def test_ego3d_depends_on_where_the_patch_is() -> None:
    ego = Ego3DPositionEncoding(32)
    near, far = torch.zeros(1, 1, 4, 3), torch.full((1, 1, 4, 3), 0.3)
    assert not torch.allclose(ego(near), ego(far))


def test_soft_loss_prefers_the_nearer_cell() -> None:
    centres = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [1.0, 0.0, 0.0]])
    wanted = torch.tensor([[[0.09, 0.0, 0.0]]])
    chosen = torch.eye(3) * 8.0
    loss = [float(soft_cell_loss(c.view(1, 1, 3), wanted, centres, 0.015, 0.08)) for c in chosen]
    assert loss[1] < loss[0] <= loss[2] + 1e-3

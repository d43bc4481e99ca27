"""Fewer bits, nearly the same network; what cannot be is said."""

import sys

import pytest
import torch
from spatial_models.spatialvla.generate import ActionDecoder
from spatial_models.spatialvla.quantise import NoQuantiser, quantise
from torch import nn


@pytest.mark.parametrize("backend", ["bitsandbytes", "torchao"])
@pytest.mark.parametrize(("bits", "most"), [(8, 0.1), (4, 0.45)])  # random weights are the hardest
def test_quantised_network_is_close(backend, bits, most, make_wide_model, make_inputs, cells):
    pytest.importorskip(backend)
    model = make_wide_model()
    inputs = make_inputs(model)
    with torch.no_grad():
        wanted = model.hidden(*inputs, "bidirectional").float()
        head = model.language_model.lm_head
        assert quantise(model, bits, backend) is model
        found = model.hidden(*inputs, "bidirectional").float()
    valid = inputs[0].valid
    error = (found - wanted)[valid].norm() / wanted[valid].norm()
    assert 1e-5 < error < most
    assert model.language_model.lm_head is head and type(head) is nn.Linear
    assert ActionDecoder(model, cells)(*inputs).ids.shape == (2, 4, 3)


@pytest.mark.parametrize(("bits", "most"), [(8, 0.01), (4, 0.1)])
def test_torchao_stores_fewer_bits_of_the_same_weights(bits, most, make_wide_model):
    """Text model and SigLIP, every linear layer; the loss is that of rounding to so many steps."""
    pytest.importorskip("torchao")
    model, wanted = make_wide_model(), make_wide_model()
    quantise(model, bits, "torchao")
    layers = 0
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear) or not name.startswith(
            ("language_model.model", "vision_tower.encoder")
        ):
            continue
        was = wanted.get_submodule(name).weight.float()
        error = (module.weight.dequantize().float() - was).norm() / was.norm()
        assert 1e-4 < error < most, name
        layers += 1
    assert layers == 2 * 7 + 2 * 6


def test_a_missing_library_is_named(make_model, monkeypatch):
    for name in ("bitsandbytes", "torchao"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NoQuantiser, match=r"bitsandbytes or torchao is not installed.*pip install"):
        quantise(make_model(), 8)
    with pytest.raises(NoQuantiser, match=r"^torchao is not installed"):
        quantise(make_model(), 4, "torchao")


def test_other_numbers_of_bits_are_refused(make_model):
    with pytest.raises(ValueError, match="3 bits"):
        quantise(make_model(), 3)

"""The network against loops in float64, and against transformers' PaliGemma on the same weights."""

import numpy as np
import pytest
import torch
from spatial_models.spatialvla.generate import ActionDecoder, generate_freely
from spatial_models.spatialvla.masks import visible
from spatial_models.spatialvla.model import IGNORED, Sequences
from spatial_models.spatialvla.paligemma import plain_paligemma
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .oracle import Oracle


def row(sequences, inputs, index):
    """One sequence of a batch without its padding, as the oracle takes it."""
    images, points = inputs
    return sequences.ids[index][sequences.valid[index]].tolist(), images[index], points[index]


def with_actions(sequences, begin, cells):
    """A prompt with two tokens of every slot behind it, right where its own text ends."""
    more = [
        begin,
        begin + cells[0],
        begin + sum(cells[:2]),
        begin + 1,
        begin + cells[0] + 1,
        begin + sum(cells) - 1,
    ]
    batch = len(sequences.ids)
    ids = torch.cat((sequences.ids, torch.zeros(batch, len(more), dtype=torch.long)), dim=1)
    valid, suffix = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    for i in range(batch):
        n = int(sequences.valid[i].sum())
        ids[i, n : n + len(more)] = torch.tensor(more)
        valid[i, : n + len(more)] = True
        suffix[i, n : n + len(more)] = True
    return Sequences(ids, valid, suffix)


@pytest.mark.parametrize("prompt", ["bidirectional", "causal"])
def test_logits_of_a_padded_batch_equal_the_loops(prompt, make_model, make_inputs, cells):
    model = make_model(dtype=torch.float64)
    sequences, *inputs = make_inputs(model, (2, 4), dtype=torch.float64)
    sequences = with_actions(sequences, model.config.action_begin, cells)
    with torch.no_grad():
        found = model.logits(model.hidden(sequences, *inputs, prompt)).numpy()
    oracle = Oracle(model)
    for i in range(2):
        ids, image, points = row(sequences, inputs, i)
        first = len(ids) - 6 if prompt == "bidirectional" else 0
        wanted = oracle.logits(ids, image, points, lambda a, b, first=first: b < first or b <= a)
        # transformers computes norms and rotary angles in float32 whatever the weights are
        np.testing.assert_allclose(found[i, : len(ids)], wanted, atol=2e-5)


def test_prompt_attention_and_points_matter(make_model, make_inputs):
    model = make_model()
    sequences, images, points = make_inputs(model)
    with torch.no_grad():
        both = model.hidden(sequences, images, points, "bidirectional")
        assert (both - model.hidden(sequences, images, points, "causal")).abs().max() > 0.01
        assert (both - model.hidden(sequences, images, points + 0.5, "bidirectional")).abs().max() > 0.01


def test_the_loss_is_the_mean_over_labels(make_model, make_inputs, cells):
    model = make_model()
    sequences, *inputs = make_inputs(model, (2, 4))
    sequences = with_actions(sequences, model.config.action_begin, cells)
    labels = torch.where(sequences.suffix, sequences.ids, IGNORED)
    loss, scores = model.loss(sequences, labels, *inputs, prompt="causal")
    with torch.no_grad():
        logits = model.logits(model.hidden(sequences, *inputs, "causal")).double()
    wanted = []
    for i in range(2):
        for t in range(1, sequences.ids.shape[1]):
            if labels[i, t] != IGNORED:
                wanted.append(float(-functional.log_softmax(logits[i, t - 1], -1)[labels[i, t]]))
    assert len(scores) == len(wanted) == 12
    assert loss.item() == pytest.approx(np.mean(wanted), rel=1e-5)
    with pytest.raises(ValueError, match="no token is labelled"):
        model.loss(sequences, torch.full_like(labels, IGNORED), *inputs, prompt="causal")


def test_masks_hide_padding_and_the_future():
    valid = torch.tensor([[True, True, True, True, False], [True, True, True, False, False]])
    suffix = torch.tensor([[False, False, True, True, False], [False, False, True, False, False]])
    for prompt in ("bidirectional", "causal"):
        seen = visible(valid, suffix, prompt)
        for b in range(2):
            for i in range(5):
                for j in range(5):
                    in_prompt = prompt == "bidirectional" and not bool(suffix[b, j])
                    wanted = (bool(valid[b, j]) and (in_prompt or j <= i)) or i == j
                    assert bool(seen[b, i, j]) == wanted, (prompt, b, i, j)
    with pytest.raises(ValueError, match="'both'"):
        visible(valid, suffix, "both")


def test_constrained_decoding_equals_the_loops(make_model, make_inputs, cells):
    model = make_model(dtype=torch.float64)
    sequences, *inputs = make_inputs(model, (2, 4), dtype=torch.float64)
    found = ActionDecoder(model, cells, steps=2)(sequences, *inputs)
    for i in range(2):
        tokens, chances = Oracle(model).constrained(*row(sequences, inputs, i), cells, steps=2)
        assert found.ids[i].flatten().tolist() == tokens
        np.testing.assert_allclose(found.log_probabilities[i].flatten(), chances, atol=1e-4)


def test_every_token_is_of_its_slot(make_model, make_inputs, cells):
    said = set()
    for seed in range(12):
        model = make_model(seed)
        found = ActionDecoder(model, cells)(*make_inputs(model, (1, 2, 3, 4), seed))
        assert found.ids.shape == found.log_probabilities.shape == (4, 4, 3)
        assert (found.ids >= 0).all() and (found.ids < torch.tensor(cells)).all()
        assert (found.log_probabilities <= 0).all()
        said |= set(found.ids.flatten().tolist())
    assert len(said) > 4


def test_a_request_is_answered_the_same_alone_and_in_a_batch(make_model, make_inputs, cells):
    model = make_model(dtype=torch.float64)
    sequences, images, points = make_inputs(model, (1, 6, 3), dtype=torch.float64)
    decoder = ActionDecoder(model, cells)
    together = decoder(sequences, images, points)
    for i in range(3):
        n = int(sequences.valid[i].sum())
        own = Sequences(sequences.ids[i : i + 1, :n], sequences.valid[i : i + 1, :n])
        alone = decoder(own, images[i : i + 1], points[i : i + 1])
        assert torch.equal(alone.ids[0], together.ids[i])
        assert torch.allclose(alone.log_probabilities[0], together.log_probabilities[i], atol=1e-5)


def test_slots_must_fit_the_vocabulary(make_model):
    with pytest.raises(ValueError, match="16 tokens together"):
        ActionDecoder(make_model(), (6, 8, 3))


def features(model, images, points):
    with torch.no_grad():
        return model.image_features(images, points)


def test_logits_equal_paligemmas_with_ego3d_zeroed(make_model, make_inputs, cells):
    """Given the very pixels, transformers' PaliGemma says the same when the encoding of points is nothing."""
    model = make_model()
    last = model.position_embedding_3d.position_embedding_head[3]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    sequences, images, points = make_inputs(model, (4, 4))
    plain = plain_paligemma(model)
    with torch.no_grad():
        wanted = plain(
            input_ids=sequences.ids,
            pixel_values=(images - 0.5) / 0.5,
            attention_mask=sequences.valid.long(),
            token_type_ids=torch.zeros_like(sequences.ids),
        ).logits
        found = model.logits(model.hidden(sequences, images, points, "bidirectional"))
    assert torch.allclose(found, wanted, atol=2e-5)


def test_free_generation_equals_transformers_generate(make_model, make_inputs):
    """The same greedy tokens, points included, as transformers' own generate with its own cache and masks."""
    same = 0
    for seed in range(4):
        model = make_model(seed)
        sequences, images, points = make_inputs(model, (4, 4), seed)
        wanted = plain_paligemma(model).generate(
            input_ids=sequences.ids,
            attention_mask=sequences.valid.long(),
            token_type_ids=torch.zeros_like(sequences.ids),
            mm_encoder_outputs={
                "image": BaseModelOutputWithPooling(pooler_output=features(model, images, points))
            },
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=1,
            pad_token_id=0,
        )[:, sequences.ids.shape[1] :]
        found = generate_freely(model, sequences, images, points, most=6)
        for mine, theirs in zip(found, wanted.tolist(), strict=True):
            assert mine == theirs[: len(mine)] and set(theirs[len(mine) :]) <= {0}
            same += len(mine)
    assert same > 24


def constrained_generate(model, sequences, images, points, cells, steps):
    """Transformers' own generate, told at each token which ids its slot has."""
    begin = model.config.action_begin
    starts = np.cumsum([begin, *cells])
    prompt = sequences.ids.shape[1]

    def allowed(_, ids):
        slot = (len(ids) - prompt) % 3
        return list(range(starts[slot], starts[slot + 1]))

    ids = plain_paligemma(model).generate(
        input_ids=sequences.ids,
        attention_mask=sequences.valid.long(),
        token_type_ids=torch.zeros_like(sequences.ids),
        mm_encoder_outputs={
            "image": BaseModelOutputWithPooling(pooler_output=features(model, images, points))
        },
        max_new_tokens=3 * steps,
        do_sample=False,
        prefix_allowed_tokens_fn=allowed,
        eos_token_id=1,
        pad_token_id=0,
    )
    return ids[:, prompt:].view(-1, steps, 3) - torch.from_numpy(starts[:3])


def test_constrained_decoding_equals_constrained_generate(make_model, make_inputs, cells):
    for seed in range(3):
        model = make_model(seed)
        inputs = make_inputs(model, (4, 4), seed)
        wanted = constrained_generate(model, *inputs, cells, steps=3)
        assert torch.equal(ActionDecoder(model, cells, steps=3)(*inputs).ids, wanted)


@pytest.mark.slow
def test_compiled_decoding_equals_constrained_generate(make_model, make_inputs, cells):
    """One compilation each for prompt and tokens, whatever the instruction's length within the padding."""
    model = make_model()
    decoder = ActionDecoder(model, cells, steps=3, compiled=True)
    for seed in range(2):
        inputs = make_inputs(model, (4, 4), seed)
        assert torch.equal(decoder(*inputs).ids, constrained_generate(model, *inputs, cells, steps=3))
    padded = make_inputs(model, (2, 4), 5)
    found, wanted = decoder(*padded), ActionDecoder(model, cells, steps=3)(*padded)
    assert torch.equal(found.ids, wanted.ids)
    assert torch.allclose(found.log_probabilities, wanted.log_probabilities, atol=1e-5)


@pytest.mark.gpu
def test_recorded_decoding_equals_step_by_step(make_model, make_inputs, cells):
    """Two sizes in turns, so that recordings are reused; a reply stays as it was when the next comes."""
    model = make_model().to("cuda")
    plain, recorded = (ActionDecoder(model, cells, record=record) for record in (False, True))
    kept = []
    for seed, lengths in enumerate([(2, 5), (3,), (4, 5), (1,), (5, 5)]):
        sequences, images, points = make_inputs(model, lengths, seed)
        given = sequences.to("cuda"), images.cuda(), points.cuda()
        kept.append((plain(*given), recorded(*given)))
    for wanted, found in kept:
        assert torch.equal(found.ids, wanted.ids)
        assert torch.allclose(found.log_probabilities, wanted.log_probabilities, atol=1e-4)

"""Fine-tuning on questions with a tiny random PaliGemma: exact labels, a loss that falls, answers that are learnt."""

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file
from spatial_models.robospatial.answering import TransformersAnswerer
from spatial_models.robospatial.qa import IGNORED, QaBatches, QaModule, QuestionAnswer, with_lora
from spatial_models.robospatial.train import CONFIGS, train
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
)


@pytest.fixture(scope="module")
def processor():
    """One token per character, four per picture."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "\n", *map(chr, range(32, 127))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    pictures = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    pictures.image_seq_length = 4
    return PaliGemmaProcessor(pictures, PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special))


def tiny(processor):
    torch.manual_seed(0)
    size = len(processor.tokenizer)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"model_type": "gemma", "vocab_size": size, "num_key_value_heads": 2, "head_dim": 8, **shared}
    vision = {
        "model_type": "siglip_vision_model",
        "image_size": 28,
        "patch_size": 14,
        "projection_dim": 32,
        **shared,
    }
    config = PaliGemmaConfig(
        text_config=text,
        vision_config={**vision, "vision_use_head": False},
        projection_dim=32,
        vocab_size=size,
    )
    config.image_token_id = processor.tokenizer.convert_tokens_to_ids("<image>")
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    model = PaliGemmaForConditionalGeneration(config)
    # As after training, layers and pictures have a say beside the words: random embeddings would drown them out.
    with torch.no_grad():
        model.get_input_embeddings().weight *= 0.05 / model.get_input_embeddings().weight.std()
        model.get_output_embeddings().weight *= 0.5 / model.get_output_embeddings().weight.std()
        for name, weight in model.named_parameters():
            if ".layers." in name and weight.ndim == 2:
                weight.normal_(std=0.15)
    return model


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)


PAIRS = [QuestionAnswer(picture(0), "left?", "Yes"), QuestionAnswer(picture(1), "is it behind?", "No")]


def test_labels_are_the_answers_and_nothing_else(processor):
    batch = QaBatches(processor)(PAIRS)
    for row, pair in enumerate(PAIRS):
        own = processor(
            images=Image.fromarray(pair.image),
            text=f"<image>answer en {pair.question}",
            suffix=pair.answer,
            return_tensors="pt",
        )
        length = own["input_ids"].shape[1]
        # PaliGemma's own processor knows how a pair is to be labelled.
        for name in ("input_ids", "labels", "token_type_ids", "attention_mask"):
            assert torch.equal(batch[name][row, :length], own[name][0]), name
        assert (batch["labels"][row, length:] == IGNORED).all() and not batch["attention_mask"][
            row, length:
        ].any()
        said = batch["labels"][row][batch["labels"][row] != IGNORED]
        assert (
            processor.tokenizer.decode(said[:-1]) == pair.answer
            and said[-1] == processor.tokenizer.eos_token_id
        )
    assert batch["pixel_values"].shape[0] == 2


def test_the_loss_is_that_of_each_pair_alone(processor):
    module = QaModule(tiny(processor).eval())
    collate = QaBatches(processor)
    with torch.no_grad():
        together = module.loss(collate(PAIRS))[0]
        alone = [module.loss(collate([pair]))[0] for pair in PAIRS]
    lengths = [len(pair.answer) + 1 for pair in PAIRS]
    wanted = sum(a * n for a, n in zip(alone, lengths, strict=True)) / sum(lengths)
    assert together == pytest.approx(float(wanted), rel=1e-4)


def test_only_corrections_are_trained(processor):
    model = with_lora(tiny(processor), rank=2, alpha=4)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert names and all("lora_" in name for name in names)
    with pytest.raises(ValueError, match=r"nothing_like_that|target"):
        with_lora(tiny(processor), rank=2, alpha=4, targets="nothing_like_that")


def test_answers_are_learnt_through_the_trainer(processor, tmp_path):
    rows = []
    for number in range(8):
        left = number % 2 == 0
        pixels = np.zeros((28, 28, 3), np.uint8)
        pixels[:, : 14 if left else None] = 255 if left else 0
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "question": "lit?", "answer": "Yes" if left else "No"})
    (tmp_path / "questions.json").write_text(json.dumps(rows))
    cfg = OmegaConf.load(f"{CONFIGS}/robospatial.yaml")
    changes = {
        "data": str(tmp_path / "questions.json"),
        "out": str(tmp_path / "out"),
        "batch_size": 8,
        "lora": {"rank": 8, "alpha": 16},
        "optimiser": {"learning_rate": 0.02, "warmup": 0.1},
        "trainer": {
            "max_epochs": 60,
            "accelerator": "cpu",
            "precision": "32-true",
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    }
    model = tiny(processor)
    before = {n: p.clone() for n, p in model.named_parameters()}
    module = train(OmegaConf.merge(cfg, changes), model, processor)
    rows_logged = (tmp_path / "out/log/version_0/metrics.csv").read_text().splitlines()
    column = rows_logged[0].split(",").index("loss")
    losses = [float(line.split(",")[column]) for line in rows_logged[1:] if line.split(",")[column]]
    assert losses[0] > 3.0 and losses[-1] < 0.2 * losses[0]
    for name, value in module.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(value.cpu(), before[name.replace(".base_layer", "")]), name
    kept = load_file(tmp_path / "out/lora.safetensors")
    assert kept and all("lora_" in name for name in kept)
    saved = torch.load(tmp_path / "out/last.ckpt", weights_only=False)["state_dict"]
    assert len(saved) == len(kept)
    answerer = TransformersAnswerer(module.model.eval(), processor, prefix="<image>answer en ", most_tokens=5)
    said = answerer([np.asarray(Image.open(tmp_path / f"{n}.png")) for n in (0, 1)], ["lit?", "lit?"])
    assert said == ["Yes", "No"]

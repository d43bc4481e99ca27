"""Questions with answers as training batches of any vision-language model of transformers, and what trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..training.schedule import linear_schedule
from .evaluate import read_rows

Batch = dict[str, Tensor]
IGNORED = -100
#: Attention, feed-forward and projector layers of the language model and the vision tower, as most models name them.
LORA_TARGETS = (
    r".*\.(q_proj|k_proj|v_proj|o_proj|out_proj|gate_proj|up_proj|down_proj|fc1|fc2)|.*projector\.linear.*"
)


@dataclass(frozen=True)
class QuestionAnswer:
    """One pair; ``image`` is a file or RGB (h, w, 3)."""

    image: Path | np.ndarray
    question: str
    answer: str


class QuestionFile(Dataset[QuestionAnswer]):
    """Pairs of a JSON file or JSON lines: our generator's, with pictures relative to ``pictures``."""

    def __init__(self, path: Path, pictures: Path | None = None) -> None:
        folder = pictures or path.parent
        rows = read_rows(path)
        missing = next(
            (i for i, r in enumerate(rows) if not {"question", "answer", "image"} <= r.keys()), None
        )
        if missing is not None or not rows:
            raise ValueError(
                f"row {missing} of {path} lacks one of question, answer and image"
                if rows
                else f"{path} has no questions"
            )
        self.rows = [QuestionAnswer(folder / r["image"], r["question"], r["answer"]) for r in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> QuestionAnswer:
        return self.rows[index]


class QaBatches:
    """Puts pairs into batches; give it to a ``DataLoader`` as ``collate_fn``.

    The prompt is what the processor makes of picture and question; the answer's tokens and the end of sequence follow
    and alone have labels, so that which is which never depends on how the two would be tokenised together.

    Args:
        processor: of the model. prefix: before the question where there is no chat template, e.g. "<image>answer en ".
    """

    def __init__(self, processor: Any, prefix: str = "<image>answer en ") -> None:
        self.processor, self.prefix = processor, prefix
        self.chat = getattr(processor, "chat_template", None) is not None
        tokenizer = processor.tokenizer
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end-of-sequence token; an answer would never end")
        self.end = int(tokenizer.eos_token_id)
        self.padding = int(self.end if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    def __call__(self, pairs: Sequence[QuestionAnswer]) -> Batch:
        """A batch: ids, mask, labels and whatever else the processor gives for pictures, padded on the right."""
        prompts = [self._prompt(pair) for pair in pairs]
        answers = [self._answer(pair.answer) for pair in pairs]
        length = max(p["input_ids"].shape[1] + len(a) for p, a in zip(prompts, answers, strict=True))
        shape = (len(pairs), length)
        batch = {
            "input_ids": torch.full(shape, self.padding),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "labels": torch.full(shape, IGNORED),
        }
        if "token_type_ids" in prompts[0]:
            batch["token_type_ids"] = torch.zeros(shape, dtype=torch.long)
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            asked = prompt["input_ids"].shape[1]
            end = asked + len(answer)
            batch["input_ids"][row, :asked] = prompt["input_ids"][0]
            batch["input_ids"][row, asked:end] = answer
            batch["labels"][row, asked:end] = answer
            batch["attention_mask"][row, :end] = 1
            if "token_type_ids" in batch:
                # PaliGemma: the prompt attends to all of itself, the answer to what came before.
                batch["token_type_ids"][row, asked:end] = 1
        for name in prompts[0].keys() - batch.keys():
            batch[name] = torch.cat([prompt[name] for prompt in prompts])
        return batch

    def _prompt(self, pair: QuestionAnswer) -> dict[str, Tensor]:
        if isinstance(pair.image, Path):
            with Image.open(pair.image) as file:
                image = file.convert("RGB")
        else:
            image = Image.fromarray(pair.image)
        text = self.prefix + pair.question
        if self.chat:
            content = [{"type": "image"}, {"type": "text", "text": pair.question}]
            turns = [{"role": "user", "content": content}]
            text = self.processor.apply_chat_template(turns, add_generation_prompt=True)
        made = dict(self.processor(images=image, text=text, return_tensors="pt"))
        made.pop("labels", None)
        return made

    def _answer(self, text: str) -> Tensor:
        ids = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return torch.tensor([*ids, self.end])


def with_lora(model: Any, rank: int, alpha: float, targets: str = LORA_TARGETS) -> Any:
    """Freeze a model and put low-rank corrections into its layers, in place.

    Raises:
        ValueError: no layer has such a name.
    """
    model.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=True)  # pyright: ignore[reportArgumentType]
    model = inject_adapter_in_model(config, model)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            f"no layer of {type(model).__name__} is called {targets!r}; give lora.targets of your model"
        )
    return model


class QaModule(L.LightningModule):
    """Trains what is left trainable of a model on answers; checkpoints hold that alone.

    Args:
        learning_rate: rises over ``warmup`` (a share of ``total_steps``) and falls linearly to 0.
    """

    def __init__(
        self, model: Any, *, learning_rate: float = 2e-4, warmup: float = 0.03, total_steps: int = 10_000
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore="model")
        self.model = model
        self.strict_loading = False  # a checkpoint has no frozen weights

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy over the answers' tokens, and the share of them that is predicted."""
        out = self.model(**batch)
        wanted = batch["labels"][:, 1:]
        here = wanted != IGNORED
        right = (out.logits[:, :-1].argmax(-1) == wanted)[here]
        return out.loss, right.float().mean()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss, logged with the share of tokens that is predicted."""
        loss, right = self.loss(batch)
        self.log_dict({"loss": loss, "accuracy": right}, prog_bar=True, batch_size=len(batch["labels"]))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """As training, without a step."""
        loss, right = self.loss(batch)
        self.log_dict({"val/loss": loss, "val/accuracy": right}, batch_size=len(batch["labels"]))

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises and falls linearly."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=self.hparams["learning_rate"], weight_decay=0.0)
        return linear_schedule(optimiser, self.hparams["warmup"], self.hparams["total_steps"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen."""
        kept = {f"model.{name}" for name, p in self.model.named_parameters() if p.requires_grad}
        checkpoint["state_dict"] = {n: t for n, t in checkpoint["state_dict"].items() if n in kept}

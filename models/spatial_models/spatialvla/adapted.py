"""A checkpoint with another action grid: another number of action tokens, their rows, and the files that know of them.

    python -m spatial_models.spatialvla.adapted CHECKPOINT ADAPTED --out FOLDER

ADAPTED is what ``python -m spatial_models.spatialvla.adapt`` wrote; FOLDER is a checkpoint as any other.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from safetensors import SafetensorError
from safetensors.torch import load_file
from spatial_vla.actions import SpatialActionTokenizer, read_processor_config
from spatial_vla.actions.bin_policy import FILE as PROCESSOR
from torch import Tensor, nn

from .adapt import FIELDS, HEAD_ROWS, TABLE, WEIGHTS
from .checkpoint import CheckpointMismatch, load, save_released
from .configuration import SpatialVlaConfig
from .model import SpatialVla
from .prompt import action_token

OF_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
ALONGSIDE = (
    "special_tokens_map.json",
    "preprocessor_config.json",
    "generation_config.json",
    "tokenizer.model",
)


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A grid and the rows of its tokens.

    Attributes:
        fields: ``bin_policy``, ``statistics`` and the like, as of ``processor_config.json``.
        table: (tokens, width) input embeddings. head: the same of the output, None keeps those there are.
    """

    fields: Mapping[str, Any]
    table: Tensor
    head: Tensor | None = None

    @classmethod
    def read(cls, folder: str | Path) -> Adaptation:
        """What ``python -m spatial_models.spatialvla.adapt`` wrote.

        Raises:
            FileNotFoundError, KeyError, SafetensorError: a file or a tensor is absent or damaged.
        """
        path = Path(folder)
        absent = [name for name in (FIELDS, WEIGHTS) if not (path / name).is_file()]
        if absent:
            raise FileNotFoundError(
                f"{path} lacks {', '.join(absent)}; expected what python -m spatial_models.spatialvla.adapt writes"
            )
        tensors = load_file(path / WEIGHTS)
        if TABLE not in tensors:
            raise KeyError(f"no {TABLE} in {path / WEIGHTS}; it has {', '.join(tensors)}")
        return cls(json.loads((path / FIELDS).read_text()), tensors[TABLE], tensors.get(HEAD_ROWS))


def adapt_model(model: SpatialVla, adaptation: Adaptation) -> SpatialVla:
    """Give a model another grid's tokens, in place; the vocabulary grows or shrinks at its end.

    Raises:
        CheckpointMismatch: rows are not as many as the grid has cells, or of another width.
        ValueError: the number of tokens changes and there are no rows for the output.
    """
    config, begin = model.config, model.config.action_begin
    tokens = SpatialActionTokenizer.from_processor_config(adaptation.fields, begin=begin).tokens
    expected = (tokens, config.width)
    rows = {TABLE: adaptation.table} | ({} if adaptation.head is None else {HEAD_ROWS: adaptation.head})
    wrong = [(name, tuple(t.shape), expected) for name, t in rows.items() if tuple(t.shape) != expected]
    if wrong:
        raise CheckpointMismatch("the adaptation", misshaped=wrong)
    if adaptation.head is None and tokens != config.action_tokens:
        raise ValueError(
            f"the new grid has {tokens} tokens, the checkpoint {config.action_tokens}: the output needs rows for them; "
            "run python -m spatial_models.spatialvla.adapt with --head"
        )
    text = deepcopy(config.text)
    text.vocab_size = begin + tokens
    language = model.language_model
    head = language.lm_head.weight[begin:] if adaptation.head is None else adaptation.head
    with torch.no_grad():
        table = adaptation.table.to(model.device, model.dtype)
        model.spatial_embed_tokens = nn.Embedding.from_pretrained(table.clone(), freeze=False)
        for layer, last in ((language.model.embed_tokens, table), (language.lm_head, head)):
            old = layer.weight
            layer.weight = nn.Parameter(torch.cat((old[:begin], last.to(old.device, old.dtype))))
    language.model.embed_tokens.num_embeddings = language.lm_head.out_features = text.vocab_size
    language.vocab_size = language.model.vocab_size = text.vocab_size
    language.config.vocab_size = language.model.config.vocab_size = text.vocab_size
    model.config = replace(config, action_tokens=tokens, text=text)
    return model


def write_alongside(source: Path, out: Path, config: SpatialVlaConfig, fields: Mapping[str, Any]) -> None:
    """The files beside the weights: the tokenizer with names for all action tokens, and ``processor_config.json``."""
    out.mkdir(parents=True, exist_ok=True)
    replaced(out / PROCESSOR, json.dumps(fields, indent=2) + "\n")
    for name in ALONGSIDE:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    names = {config.action_begin + i: action_token(i) for i in range(config.action_tokens)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    for name in OF_TOKENIZER:
        if not (source / name).is_file():
            raise FileNotFoundError(f"{source} has no {name}; take the tokenizer of the same checkpoint")
    whole, settings = (json.loads((source / name).read_text()) for name in OF_TOKENIZER)
    known = {entry["id"] for entry in whole["added_tokens"]}
    whole["added_tokens"] += [
        {"id": i, "content": text, **flags} for i, text in names.items() if i not in known
    ]
    # Where there is such a list it must be whole: tokens that are not in it are lost.
    decoder = settings.get("added_tokens_decoder")
    if decoder is not None:
        for i, text in names.items():
            decoder.setdefault(str(i), {"content": text, **flags})
    for name, content in zip(OF_TOKENIZER, (whole, settings), strict=True):
        replaced(out / name, json.dumps(content, ensure_ascii=False))


def replaced(path: Path, text: str) -> None:
    """Write a file at once: several processes may write the same."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(path)


def merged_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``processor_config.json`` after an adaptation; statistics of other data sets, whose grid is gone, go with it."""
    kept = ("bin_policy", "action_chunk_size", "statistics", "gaussians", "min_sigma")
    return {**old, **{name: new[name] for name in kept if name in new}}


@dataclass
class Write:
    """Put an adaptation into a checkpoint."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder in the released layout."""

    adapted: tyro.conf.Positional[Path]
    """Folder with adapted.safetensors and adapted.json."""

    out: Path
    """Folder to write to."""

    def run(self) -> int:
        """Write the folder; 0 when done, 2 when the input cannot be used."""
        try:
            adaptation = Adaptation.read(self.adapted)
            model = adapt_model(load(self.checkpoint), adaptation)
            fields = merged_fields(read_processor_config(self.checkpoint), adaptation.fields)
            write_alongside(self.checkpoint, self.out, model.config, fields)
            save_released(model, self.out)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            print(f"spatial_models.spatialvla.adapted: {error}", file=sys.stderr)
            return 2
        print(f"{self.out}: {model.config.action_tokens} action tokens")
        return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(Write).run())

"""Models that answer a question about a picture, behind one protocol."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


class Answerer(Protocol):
    """Answers questions about pictures."""

    def __call__(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[str]:
        """One answer per question; ``pictures`` are RGB (h, w, 3), one for each."""
        ...


@dataclass
class TransformersAnswerer:
    """Any vision-language model of transformers, decoded greedily.

    Args:
        model, processor: as ``AutoModelForImageTextToText`` and ``AutoProcessor`` give them.
        chat: wrap questions by the processor's chat template; None: if it has one.
        prefix: before the question of a model without one, e.g. "answer en ".
    """

    model: Any
    processor: Any
    chat: bool | None = None
    prefix: str = ""
    most_tokens: int = 256

    @classmethod
    def from_name(cls, name: str, device: str = "cpu", **options: Any) -> TransformersAnswerer:
        """From a hub name or a folder."""
        from transformers import AutoModelForImageTextToText, AutoProcessor

        model: Any = AutoModelForImageTextToText.from_pretrained(name, dtype="auto")
        return cls(model.to(device).eval(), AutoProcessor.from_pretrained(name), **options)

    def __call__(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[str]:
        """See ``Answerer``; one at a time, since padding changes what some models say."""
        return [self._one(picture, text) for picture, text in zip(pictures, questions, strict=True)]

    @torch.inference_mode()
    def _one(self, picture: Picture, question: str) -> str:
        image, text = Image.fromarray(picture), self.prefix + question
        chat = getattr(self.processor, "chat_template", None) is not None if self.chat is None else self.chat
        if chat:
            content = [{"type": "image"}, {"type": "text", "text": text}]
            text = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True
            )
        inputs = self.processor(images=image, text=text, return_tensors="pt").to(self.model.device)
        out = self.model.generate(**inputs, max_new_tokens=self.most_tokens, do_sample=False)
        said = out[:, inputs["input_ids"].shape[1] :]
        return self.processor.batch_decode(said, skip_special_tokens=True)[0].strip()


class ServerError(RuntimeError):
    """A server did not answer, or not as the OpenAI interface has it."""


@dataclass
class ServerAnswerer:
    """A model behind an OpenAI-compatible server (vLLM, llama.cpp, ...), asked by its chat completions.

    Args:
        url: up to and with "/v1". key: sent as a bearer token, if any. timeout: for one answer [s].
    """

    url: str
    model: str
    key: str = ""
    timeout: float = 120.0
    most_tokens: int = 256

    def __call__(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[str]:
        """See ``Answerer``.

        Raises:
            ServerError: with the status and what the server said.
        """
        return [self._one(picture, text) for picture, text in zip(pictures, questions, strict=True)]

    def _one(self, picture: Picture, question: str) -> str:
        content = [
            {"type": "image_url", "image_url": {"url": data_url(picture)}},
            {"type": "text", "text": question},
        ]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": self.most_tokens,
        }
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.key}"} if self.key else {}
        )
        where = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(where, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                said = json.load(reply)
            return str(said["choices"][0]["message"]["content"] or "").strip()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:300]
            raise ServerError(
                f"{where} answered {error.code}: {text}; is {self.model!r} its model?"
            ) from error
        except (OSError, ValueError) as error:
            raise ServerError(
                f"{where} does not answer ({error}); start the server, or give its url"
            ) from error
        except (KeyError, IndexError, TypeError) as error:
            raise ServerError(
                f"{where} answered without choices[0].message.content; expected a chat completion"
            ) from error


def data_url(picture: Picture) -> str:
    """A picture as a PNG in a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

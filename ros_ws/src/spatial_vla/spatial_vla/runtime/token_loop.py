"""Action tokens from the two engines of a language model: the prompt once, then one token after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .session import Session

_NEXT = {"token": "next_token", "position": "next_position", "slot": "next_slot"}
_CACHE = {"past_keys": "keys", "past_values": "values"}


class TokenLoop:
    """Runs ``prefill`` and then ``decode_step``, both as ``export/to_onnx.py`` writes them.

    Args:
        prefill: takes image_embeddings (1, P, D), text_embeddings (1, T, D) and length (1,).
        decode_step: takes token, position, slot, past_keys and past_values.
        steps: actions of a chunk, three tokens each.

    Raises:
        ValueError: keys and values of the two have different shapes.
    """

    def __init__(self, prefill: Session, decode_step: Session, steps: int = 4) -> None:
        given = {s.name: s.shape for s in prefill.outputs}
        taken = {s.name: s.shape for s in decode_step.inputs}
        if given["keys"] != taken["past_keys"]:
            raise ValueError(
                f"prefill gives keys {list(given['keys'])}, decode_step takes {list(taken['past_keys'])}; export both "
                "from one checkpoint with one --shape.text"
            )
        self.prefill, self.decode_step, self.steps = prefill, decode_step, steps
        self.text = next(s.shape[1] for s in prefill.inputs if s.name == "text_embeddings")
        self.patches = next(s.shape[1] for s in prefill.inputs if s.name == "image_embeddings")

    def __call__(
        self, image_embeddings: NDArray[np.float32], text_embeddings: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Image (1, P, D) and text (1, T', D), T' at most what prefill has room for.

        Returns:
            Tokens (steps, 3), each counted from the first action token, and their log-probabilities (steps, 3).

        Raises:
            ValueError: the text is empty or too long.
        """
        length = text_embeddings.shape[1]
        if not 1 <= length <= self.text:
            raise ValueError(
                f"prompt of {length} tokens; expected 1 to {self.text}: shorten the instruction, or export with a "
                "larger --shape.text"
            )
        padded = np.zeros_like(self.prefill.buffers["text_embeddings"])
        padded[:, :length] = text_embeddings
        out = self.prefill.run(
            {
                "image_embeddings": image_embeddings,
                "text_embeddings": padded,
                "length": np.array([self.patches + length], np.int64),
            }
        )
        tokens, chances = [int(out["token"][0])], [float(out["log_probability"][0])]
        buffers = self.decode_step.buffers
        buffers["token"][...], buffers["position"][...], buffers["slot"][...] = (
            out["token"],
            out["position"],
            1,
        )
        for _ in range(3 * self.steps - 1):
            for name, source in _CACHE.items():
                np.copyto(buffers[name], out[source])
            out = self.decode_step.run(buffers)
            tokens.append(int(out["next_token"][0]))
            chances.append(float(out["log_probability"][0]))
            for name, source in _NEXT.items():
                buffers[name][...] = out[source]
        shape = (self.steps, 3)
        return np.array(tokens, np.int64).reshape(shape), np.array(chances, np.float32).reshape(shape)

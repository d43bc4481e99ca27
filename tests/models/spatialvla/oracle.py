"""SpatialVLA's own parts and Gemma 2's layers as loops over numbers, float64, written from the description alone."""

from math import cos, exp, pi, sin, sqrt, tanh

import numpy as np
import torch


def gelu(x: float) -> float:
    return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))


def cap(x: float, limit: float) -> float:
    return limit * tanh(x / limit)


def norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x / sqrt(float(np.mean(x * x)) + eps) * (1 + weight)


def turned(x: np.ndarray, position: int, theta: float) -> np.ndarray:
    """Rotary embedding of one head's vector: component i turns with component i + half."""
    half = len(x) // 2
    out = np.empty_like(x)
    for i in range(half):
        angle = position * theta ** (-2 * i / len(x))
        out[i] = x[i] * cos(angle) - x[i + half] * sin(angle)
        out[i + half] = x[i + half] * cos(angle) + x[i] * sin(angle)
    return out


class Oracle:
    """The network on one sequence without padding."""

    def __init__(self, model):
        self.w = {n: p.detach().double().numpy() for n, p in model.named_parameters()}
        self.model, self.c = model, model.config

    def patches(self, image: torch.Tensor, points: torch.Tensor) -> np.ndarray:
        """Projected patches before Gemma's scale: SigLIP (after its last norm) plus the points' encoding."""
        with torch.no_grad():
            seen = self.model.vision_tower(
                ((image[None] - 0.5) / 0.5).to(self.model.dtype)
            ).last_hidden_state[0]
            spatial = self.model.position_embedding_3d(points[None])[0]
        w, b = self.w["multi_modal_projector.linear.weight"], self.w["multi_modal_projector.linear.bias"]
        total = seen.double().numpy() + spatial.double().numpy()
        return np.array([w @ row + b for row in total]) / sqrt(self.c.width)

    def embeddings(self, ids: list[int], image: torch.Tensor, points: torch.Tensor) -> list[np.ndarray]:
        patches, rows, seen = self.patches(image, points), [], 0
        for token in ids:
            if token == self.c.image_token:
                rows.append(patches[seen])
                seen += 1
            elif token >= self.c.action_begin:
                rows.append(self.w["spatial_embed_tokens.weight"][token - self.c.action_begin])
            else:
                rows.append(self.w["language_model.model.embed_tokens.weight"][token])
        return [row * sqrt(self.c.width) for row in rows]

    def attention(self, x: list[np.ndarray], layer: str, sees) -> list[np.ndarray]:
        t = self.c.text
        d, group = t.head_dim, t.num_attention_heads // t.num_key_value_heads
        q, k, v = ([self.w[f"{layer}self_attn.{n}_proj.weight"] @ row for row in x] for n in "qkv")
        out = []
        for i in range(len(x)):
            heads = []
            for head in range(t.num_attention_heads):
                part, shared = slice(head * d, head * d + d), slice(head // group * d, head // group * d + d)
                query = turned(q[i][part], i + 1, 10_000.0)
                weights = {}
                for j in range(len(x)):
                    if sees(i, j):
                        score = float(query @ turned(k[j][shared], j + 1, 10_000.0))
                        score /= sqrt(t.query_pre_attn_scalar)
                        weights[j] = exp(cap(score, t.attn_logit_softcapping))
                total = sum(weights.values())
                heads.append(sum(weight / total * v[j][shared] for j, weight in weights.items()))
            out.append(self.w[f"{layer}self_attn.o_proj.weight"] @ np.concatenate(heads))
        return out

    def logits(self, ids, image, points, sees) -> np.ndarray:
        """Capped scores (tokens, vocabulary); ``sees(i, j)`` says whether token i sees token j."""
        t, eps = self.c.text, self.c.text.rms_norm_eps
        x = self.embeddings(ids, image, points)
        for index in range(t.num_hidden_layers):
            layer = f"language_model.model.layers.{index}."
            w = {n.removeprefix(layer): p for n, p in self.w.items() if n.startswith(layer)}
            inner = [norm(row, w["input_layernorm.weight"], eps) for row in x]
            inner = self.attention(inner, layer, sees)
            x = [
                r + norm(a, w["post_attention_layernorm.weight"], eps) for r, a in zip(x, inner, strict=True)
            ]
            for i, row in enumerate(x):
                h = norm(row, w["pre_feedforward_layernorm.weight"], eps)
                gate = np.array([gelu(g) for g in w["mlp.gate_proj.weight"] @ h])
                h = w["mlp.down_proj.weight"] @ (gate * (w["mlp.up_proj.weight"] @ h))
                x[i] = row + norm(h, w["post_feedforward_layernorm.weight"], eps)
        head, last = self.w["language_model.lm_head.weight"], self.w["language_model.model.norm.weight"]
        scores = [head @ norm(row, last, eps) for row in x]
        return np.array([[cap(s, t.final_logit_softcapping) for s in row] for row in scores])

    def constrained(self, ids, image, points, cells, steps) -> tuple[list[int], list[float]]:
        """Greedy tokens of the slots, counted in their slots, and log-probabilities in them; no cache."""
        prompt, ids = len(ids), list(ids)
        tokens, chances = [], []
        for index in range(3 * steps):
            scores = self.logits(ids, image, points, lambda i, j: j < prompt or j <= i)[-1]
            slot = index % 3
            first = self.c.action_begin + sum(cells[:slot])
            among = scores[first : first + cells[slot]]
            best = max(range(len(among)), key=lambda n: among[n])
            tokens.append(best)
            chances.append(float(among[best] - np.log(sum(exp(s) for s in among))))
            ids.append(first + best)
        return tokens, chances

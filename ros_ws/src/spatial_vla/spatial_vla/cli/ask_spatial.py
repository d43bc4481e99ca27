"""``spatial-vla ask-spatial``: ask the running nodes where things are."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import tyro

from spatial_vla.bringup.environment import join_graph


@dataclass
class AskSpatial:
    """Ask where things are: "is the red cube left of the bowl, seen from the robot?"; rviz shows the answer, too."""

    question: tyro.conf.Positional[str]
    """The question; a wrong one is answered with what can be asked."""

    json: bool = False
    """Print everything as JSON: verdict, margin, points in the world and in the picture."""

    namespace: str = ""
    """Namespace of the nodes."""

    def run(self) -> int:
        """Return 0 when answered, 1 when refused, 2 when nothing answered, 130 if interrupted."""
        join_graph()
        from spatial_vla.nodes.question_client import QuestionClient
        from spatial_vla.nodes.requests import NoAnswer

        try:
            with QuestionClient(self.namespace) as client:
                answer = client.ask(self.question)
        except NoAnswer as error:
            hint = "is a bring-up running (spatial-vla bringup)?"
            print(f"spatial-vla ask-spatial: {error}; {hint}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        if self.json:
            print(json.dumps(as_json(answer), indent=1))
        else:
            print(
                answer.answer if answer.success else answer.message,
                file=None if answer.success else sys.stderr,
            )
        return 0 if answer.success else 1


def as_json(answer: Any) -> dict[str, Any]:
    """An ``AskSpatial`` response as plain values; numbers that are none become null."""
    names = (
        "success",
        "message",
        "answer",
        "kind",
        "verdict",
        "subject",
        "relation",
        "reference",
        "other",
        "frame",
    )
    out: dict[str, Any] = {name: getattr(answer, name) for name in names}
    out |= {"margin": _number(answer.margin), "uncertainty": answer.uncertainty}
    out["points"] = [[p.x, p.y, p.z] for p in answer.points]
    pixels = [_number(x) for x in answer.pixels]
    out["pixels"] = [pixels[i : i + 2] for i in range(0, len(pixels), 2)]
    return out


def _number(value: float) -> float | None:
    return None if value != value else float(value)

"""``spatial-vla say``: give the running robot an instruction."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import tyro

from spatial_vla.bringup.environment import join_graph


@dataclass
class Say:
    """Give the running nodes an instruction and watch it being obeyed; Ctrl-C cancels it."""

    instruction: tyro.conf.Positional[str]
    """What to do, for example "touch the red cube"."""

    timeout: float = 0.0
    """Give up after this many seconds; 0: the node's own default."""

    namespace: str = ""
    """Namespace of the nodes."""

    def run(self) -> int:
        """Return 0 when the policy finished by itself, 1 when it did not, 2 when nothing answered, 130 if cancelled."""
        join_graph()
        from spatial_vla.nodes.episode_client import EpisodeClient, NoAnswer

        from .progress import InstructionLine

        try:
            with EpisodeClient(self.namespace) as client, InstructionLine(self.instruction) as line:
                result = client.follow(self.instruction, self.timeout, line.update)
        except NoAnswer as error:
            print(f"spatial-vla say: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("cancelled", file=sys.stderr)
            return 130
        outcome = "done" if result.success else "not done"
        print(
            f"{outcome} after {result.duration:.1f} s and {result.chunks} chunks. {result.message}".rstrip()
        )
        return 0 if result.success else 1

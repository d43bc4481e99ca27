"""Does the monitor notice a knocked camera in the running graph, keep quiet otherwise, and what does it cost?

    python benchmarks/scene_drift_graph.py --output benchmarks/results/scene_drift_graph.json

Starts the simulated bring-up with ``scene_plane``, has an instruction followed in scene after scene, and knocks the
camera now and then: /tf_static then says that it stands elsewhere than it does, which to the monitor is the same. The
cores are those of the monitor's process over the whole run.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import tyro
from loop import TICKS, process_ticks
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import claimed_domain
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.cli.health import health
from spatial_vla.geometry import SE3, rotvec_to_matrix
from spatial_vla.nodes import qos
from spatial_vla.nodes.episode_client import EpisodeClient, NoAnswer
from spatial_vla.nodes.graph_view import listen_to_diagnostics
from spatial_vla.report.environment import device, versions
from spatial_vla_sim.camera_publisher import mount_transforms
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.view import EXTERNAL_CAMERA
from tf2_msgs.msg import TFMessage

PLANE = "0.3 0.85 -0.35 0.35 0.0"
MONITOR = "calibration_monitor_node"
PATIENCE = 60.0  # s
SETTLED = 7.0  # s: five looks of the new pose, and the news of them


@dataclass
class Args:
    """Knock the camera of a running graph."""

    scenes: int = 10
    """scenes; the camera is knocked in every second one"""
    height: float = 20.0
    """of a knock [mm]"""
    tilt: float = 1.0
    """of a knock [degrees]"""
    output: Path | None = None
    """file for the figures"""


def knock(seed: int, height: float, tilt: float) -> SE3:
    """A move of the camera in the base frame: up or down, and about a level axis through the camera."""
    rng, eye = np.random.default_rng(seed), sample_scene(seed).world_from_camera.translation
    towards = rng.uniform(0.0, 2.0 * np.pi)
    turn = rotvec_to_matrix(np.radians(tilt) * np.array([np.cos(towards), np.sin(towards), 0.0]))
    return SE3(turn, eye - turn @ eye + [0.0, 0.0, 1e-3 * rng.choice((-1.0, 1.0)) * height])


def said(seconds: float) -> dict[str, Any]:
    """The monitor's newest figures, after so many seconds."""
    time.sleep(seconds)
    node = health(listen_to_diagnostics(2.5))[MONITOR]
    newest = {name: values[-1] for name, values in node.readings.items() if name.startswith("scene_")}
    return {
        "level": node.level,
        **newest,
        **{k: v for k, v in node.counters.items() if k.startswith("scene_")},
    }


def trials(args: Args, client: EpisodeClient) -> list[dict[str, Any]]:
    """Scene after scene: what the monitor said with the camera in its place, or knocked."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("mount", context=context)
    mounts = node.create_publisher(TFMessage, "/tf_static", qos.LATCHED)
    found = []
    for seed in range(args.scenes):
        scene = client.reset(seed, "touch")
        knocked = seed % 2 == 1
        if knocked:
            moved = knock(seed, args.height, args.tilt) @ sample_scene(seed, "touch").world_from_camera
            mounts.publish(mount_transforms(EXTERNAL_CAMERA, moved, 0))
        with suppress(
            NoAnswer
        ):  # whether the policy gets there from where it believes the camera to be is not asked
            client.follow(scene.instruction, 5.0)
        found.append({"seed": seed, "knocked": knocked, **said(SETTLED)})
        print(found[-1], flush=True)
    node.destroy_node()
    rclpy.try_shutdown(context=context)
    return found


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    with tempfile.TemporaryDirectory() as folder, claimed_domain(), (Path(folder) / "log").open("w") as log:
        entries = bringup_nodes(BringupArguments(scene_plane=PLANE))
        runner = Runner(entries, output=lambda name, line: print(f"[{name}] {line}", file=log))
        runner.start()
        try:
            with EpisodeClient() as client:
                deadline = time.monotonic() + PATIENCE
                while missing := client.missing(sim=True):
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"after {PATIENCE:.0f} s there is still no {', '.join(missing)}")
                    time.sleep(0.1)
                time.sleep(3.0)  # the graph settles
                began, used = time.monotonic(), process_ticks(runner.pids[MONITOR])
                found = trials(args, client)
                cores = (process_ticks(runner.pids[MONITOR]) - used) / TICKS / (time.monotonic() - began)
        finally:
            runner.stop()
    warned = {kind: [t["level"] > 0 for t in found if t["knocked"] is kind] for kind in (True, False)}
    result = {
        "knocked": len(warned[True]),
        "knocked_warned": sum(warned[True]),
        "not_knocked": len(warned[False]),
        "not_knocked_warned": sum(warned[False]),
        "cores": cores,
        "trials": found,
    }
    print({name: value for name, value in result.items() if name != "trials"}, f"of {os.cpu_count()} cores")
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output), "plane": PLANE}
        document = {"settings": settings, "result": result, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

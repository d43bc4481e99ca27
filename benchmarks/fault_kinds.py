"""Kinds of faults that `faults.py` puts into the running graph, and what is expected of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fault_injection import (
    Patient,
    aged,
    burst,
    dropped,
    freeze,
    full_disk,
    in_frame,
    jump_of_clock,
    jumping,
    kill,
    moved_away,
    nan_positions,
    no_processor,
    nothing,
    other_writer,
    shortened,
    spoiled,
    stop_button,
    swapped,
    twice,
    with_deltas,
)


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        does: what is done, in words.
        inject: does it; may block for as long as the fault lasts.
        stop: the arm has to be at rest this long after the fault [s of simulated time]; None: it need not stop.
        counters: diagnostics' counters, one of which must grow; none: the process that would count is gone.
        says: words, one of which must be heard in a state's reason or a warning.
        stays: while it lasts the arm must not move again.
        records: needs a recorder.
        harmless: a counter that grows where the fault did no harm, so that there was nothing to tell.
    """

    name: str
    does: str
    inject: Callable[[Patient, random.Random], None]
    stop: float | None
    counters: tuple[str, ...]
    says: tuple[str, ...]
    stays: bool = True
    records: bool = False
    harmless: str = ""

    def counted(self, moved: Iterable[str]) -> bool:
        """Did one of the counters grow that have to?"""
        return not self.counters or bool(set(self.counters) & set(moved))

    def named(self, said: Iterable[str]) -> bool:
        """Was the cause named?"""
        return any(word in text for text in said for word in self.says)


#: A stop ramp, and what a busy machine may take to notice a death or a lease that ran out.
SOON = 0.4
#: Until the last chunk's steps are used up, and the ramp.
USED_UP = 1.2
LOST = ("motion_node.lost_nodes",)
HELD = ("motion_node.holds",)
REFUSED = ("motion_node.chunks_refused", "motion_node.chunk_refused")
LATE = ("motion_node.chunks_late", *REFUSED)
DROPPED = tuple(
    f"{node}_node.frames_dropped_{why}" for node in ("encoder", "decoder") for why in ("unpaired", "stale")
)
JUMPED = (
    "time jumped",
    "control loop was",
    "joint states are stale",
    "joint states jumped",
    "starting again",
)
STALLED = "policy STALLED"

CONTROL = Fault("no fault", "nothing", nothing, None, (), ())
FAULTS = (
    CONTROL,
    *(
        Fault(f"{node} killed", "SIGKILL; it is started again", kill(node), SOON, LOST, (f"{node} died",))
        for node in (
            "encoder_node",
            "decoder_node",
            "instruction_node",
            "robot_state_publisher",
            "visualizer_node",
        )
    ),
    # These two cannot say so themselves: the runner does.
    Fault("motion_node killed", "SIGKILL", kill("motion_node"), SOON, (), ("runner: motion_node died",)),
    Fault(
        "sim_node killed",
        "SIGKILL: arm and clock are gone",
        kill("sim_node"),
        None,
        (),
        ("runner: sim_node died",),
    ),
    *(
        Fault(f"{node} frozen", "SIGSTOP for 0.8 to 1.4 s", freeze(node), SOON, LOST, (f"{node} died",))
        for node in ("encoder_node", "decoder_node", "instruction_node")
    ),
    Fault("motion_node frozen", "SIGSTOP for 0.8 to 1.4 s", freeze("motion_node"), SOON, HELD, JUMPED),
    Fault("camera frozen", "no more images", spoiled("images", dropped), USED_UP, DROPPED, (STALLED,)),
    Fault("depth frozen", "no more depth images", spoiled("depth", dropped), USED_UP, DROPPED, (STALLED,)),
    Fault("images 1 s old", "their stamps are", spoiled("images", aged(1.0)), USED_UP, DROPPED, (STALLED,)),
    Fault(
        "transforms frozen",
        "no more of /tf for the policy",
        spoiled("transforms", dropped),
        USED_UP,
        DROPPED,
        ("no transform",),
    ),
    Fault(
        "transforms jump",
        "by up to 0.3 m from message to message, for the policy",
        spoiled("transforms", jumping),
        None,
        ("decoder_node.transforms_jumped",),
        ("jumped # m",),
    ),
    Fault(
        "joint states stop",
        "for motion_node",
        spoiled("joints", dropped),
        SOON,
        HELD,
        ("joint states are stale",),
    ),
    Fault("joint states 0.5 s old", "their stamps are", spoiled("joints", aged(0.5)), SOON, HELD, JUMPED),
    Fault(
        "joint states NaN",
        "one position of the arm's",
        spoiled("joints", nan_positions),
        SOON,
        ("motion_node.joint_state_refused",),
        ("joint states are stale",),
    ),
    Fault(
        "joint states jump",
        "all joints by 0.3 rad",
        spoiled("joints", moved_away),
        SOON,
        ("motion_node.faults",),
        ("positions jumped",),
    ),
    *(
        Fault(
            f"chunks {what}",
            "one number of each",
            spoiled("chunks", with_deltas(x)),
            USED_UP,
            REFUSED,
            (says,),
        )
        for what, x, says in (
            ("NaN", float("nan"), "NaN"),
            ("infinite", float("inf"), "infinity"),
            ("huge", 1e6, "absurd"),
        )
    ),
    Fault(
        "chunks too short", "numbers are missing", spoiled("chunks", shortened), USED_UP, REFUSED, ("deltas",)
    ),
    Fault(
        "chunks in another frame",
        "of tool, flange, map or none",
        spoiled("chunks", in_frame),
        USED_UP,
        REFUSED,
        ("frame",),
    ),
    Fault("chunks duplicated", "each comes twice", spoiled("chunks", twice), None, REFUSED, ("not newer",)),
    Fault("chunks reordered", "in pairs", spoiled("chunks", swapped()), None, REFUSED, ("not newer",)),
    Fault(
        "chunks 2 s late",
        "their stamps are",
        spoiled("chunks", aged(2.0)),
        USED_UP,
        LATE,
        ("late", "not newer"),
    ),
    Fault(
        "no chunks",
        "motion_node hears no more of them",
        spoiled("chunks", dropped),
        USED_UP,
        ("motion_node.starved",),
        ("no chunk",),
    ),
    Fault(
        "network burst",
        "chunks held back, then all at once",
        burst,
        USED_UP,
        LATE,
        ("late", "not newer"),
        stays=False,  # the newest of them is to be followed
    ),
    Fault("clock jumps ahead", "2 to 8 s, and back, for 0.2 s", jump_of_clock(5.0), None, HELD, JUMPED),
    Fault("clock jumps back", "2 to 8 s, and on, for 0.2 s", jump_of_clock(-5.0), None, HELD, JUMPED),
    Fault(
        "no processor time",
        "three busy processes per core for 2.5 s",
        no_processor,
        None,
        (*HELD, *LOST, *DROPPED, *LATE),
        (*JUMPED, "died", STALLED, "late", "old"),
        harmless="instruction_node.succeeded",
    ),
    Fault(
        "disk full while recording",
        "the recorder's files may not grow",
        full_disk,
        None,
        (),
        ("recorder_node",),
        records=True,
    ),
    Fault(
        "another writer",
        "another node publishes to the arm",
        other_writer,
        0.5 + SOON,
        ("motion_node.other_writers",),
        ("also publish",),
    ),
    Fault(
        "stop button",
        "pressed for 0.6 to 1 s",
        stop_button,
        SOON,
        ("motion_node.stop_button",),
        ("stop button",),
    ),
)

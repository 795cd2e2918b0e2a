"""The proofs, one named row each, and how one is played."""

import random
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import httpx

from e2e.restart_order import bounds, bursts, orders
from e2e.restart_order.judging import most_rolling
from e2e.restart_order.lanes import Hall, Killer, Lane, Setting, numbers, worlds
from e2e.restart_order.sources import KINDS, Variant
from e2e.restart_order.verdicts import Shown
from local_cluster import ClusterError

_LANES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One row: what each lane has, and what happens in a lane in one run.

    `lanes` are played side by side. With `is_killed` the operator is killed at random moments instead of
    a number of runs being played: as often as there are rounds.
    """

    name: str
    setting: Callable[[], Setting]
    run: Callable[[Lane, int], None]
    lanes: int = _LANES
    is_killed: bool = False
    most_rolling: int | None = None


def play(hall: Hall, proof: Proof, rounds: int) -> Shown:
    """Play a proof; what keeps it from being played to its end is told."""
    shown, begun = Shown(name=proof.name), time.monotonic()
    folder = hall.folder / proof.name
    try:
        shown = _played(hall, proof, rounds)
    except (AssertionError, httpx.HTTPError, ClusterError, OSError, TimeoutError) as error:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trouble.txt").write_text(traceback.format_exc())
        shown = replace(shown, trouble=f"{type(error).__name__}: {error}"[:300])
    shown = replace(shown, seconds=time.monotonic() - begun)
    if shown.is_well:
        shutil.rmtree(folder)
    hall.say(f"{proof.name}: {shown.runs} runs, {shown.restarts} of {shown.expected} restarts")
    for flaw in (*shown.flaws[:10], *([shown.trouble] if shown.trouble else [])):
        hall.say(f"{proof.name}: FAILED {flaw}")
    return shown


def _played(hall: Hall, proof: Proof, rounds: int) -> Shown:
    lanes = min(rounds, proof.lanes)
    with worlds(hall, proof.name, proof.setting(), lanes) as world:
        rng = random.Random(proof.name)  # noqa: S311 - chooses moments, keeps no secret
        killer = Killer(world.operator, rounds, rng) if proof.is_killed else None
        runs: list[int] = []

        def play_lane(lane: Lane) -> None:
            for number in numbers(-(-rounds // lanes), killer):
                proof.run(lane, number)
                runs.append(number)

        with killer.killing() if killer else nullcontext():
            world.play(play_lane)
        world.play(Lane.rest)
        workload_states = [tuple(lane.witness.workload_states) for lane in world.lanes]
        most = max(most_rolling(seen) for seen in workload_states)
        return Shown(
            name=proof.name,
            runs=len(runs),
            expected=sum(
                len(lane.expected) * len({workload_state.workload for workload_state in seen})
                for lane, seen in zip(world.lanes, workload_states, strict=True)
            ),
            restarts=sum(lane.count() for lane in world.lanes),
            killed=killer.kills if killer else 0,
            most=most,
            flaws=[*world.flaws(), *_too_many(most, proof.most_rolling)],
        )


def _too_many(most: int, bound: int | None) -> Sequence[str]:
    return [f"{most} rolled out at a time, not {bound}"] if bound is not None and most > bound else []


def _orders(kind: str, variant: Variant, *, is_killed: bool = False) -> Proof:
    return Proof(
        name=f"{'killed-' * is_killed}order-{kind}-{variant}",
        setting=lambda: orders.setting(kind, variant),
        run=orders.run(kind, variant),
        is_killed=is_killed,
    )


def _bursts(kind: str, *, is_killed: bool = False) -> Proof:
    return Proof(
        name=f"{'killed-' * is_killed}burst-{kind}",
        setting=lambda: bursts.setting(kind),
        run=bursts.run,
        lanes=5,
        is_killed=is_killed,
    )


def _bounds(name: str, run: Callable[[Lane, int], None], **more: bool) -> Proof:
    return Proof(name=name, setting=bounds.setting, run=run, lanes=2, most_rolling=bounds.MOST, **more)


PROOFS = (
    _bounds("bound", bounds.run),
    _bounds("halt", bounds.run_halted),
    *(_bursts(kind) for kind in KINDS),
    *(
        _orders(kind, variant)
        for kind in KINDS
        for variant in (Variant.SLOW, Variant.FAILING, Variant.SILENT, Variant.SAME)
    ),
    _bounds("killed-bound", bounds.run, is_killed=True),
    _bounds("killed-halt", bounds.run_halted, is_killed=True),
    *(_bursts(kind, is_killed=True) for kind in KINDS),
    *(_orders(kind, Variant.SLOW, is_killed=True) for kind in KINDS),
)

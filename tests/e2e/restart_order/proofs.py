"""The table of proofs, and how a proof is run."""

import random
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import httpx

from e2e.restart_order import bursts, concurrency, sync_order
from e2e.restart_order.assertions import most_rolling
from e2e.restart_order.proof_results import ProofResult
from e2e.restart_order.slots import OperatorKiller, ProofContext, Slot, SlotSpec, numbers, running_slots
from e2e.restart_order.sources import KINDS, Variant
from local_cluster import ClusterError

_SLOTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One proof: the contents of each slot, and what a run does in a slot.

    The slots run side by side. With `is_killed` the runs continue until the operator has been killed as often
    as there are rounds.
    """

    name: str
    slot_spec: Callable[[], SlotSpec]
    run: Callable[[Slot, int], None]
    slots: int = _SLOTS
    is_killed: bool = False
    most_rolling: int | None = None


def run_proof(context: ProofContext, proof: Proof, rounds: int) -> ProofResult:
    """Run a proof; an error that ends the run early is part of the result."""
    result, begun = ProofResult(name=proof.name), time.monotonic()
    folder = context.folder / proof.name
    try:
        result = _run(context, proof, rounds)
    except (AssertionError, httpx.HTTPError, ClusterError, OSError, TimeoutError) as error:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "error.txt").write_text(traceback.format_exc())
        result = replace(result, failure=f"{type(error).__name__}: {error}"[:300])
    result = replace(result, seconds=time.monotonic() - begun)
    if result.has_passed:
        shutil.rmtree(folder)
    context.say(f"{proof.name}: {result.runs} runs, {result.restarts} of {result.expected} restarts")
    for flaw in (*result.flaws[:10], *([result.failure] if result.failure else [])):
        context.say(f"{proof.name}: FAILED {flaw}")
    return result


def _run(context: ProofContext, proof: Proof, rounds: int) -> ProofResult:
    slots = min(rounds, proof.slots)
    with running_slots(context, proof.name, proof.slot_spec(), slots) as group:
        rng = random.Random(proof.name)  # noqa: S311 - chooses moments, keeps no secret
        killer = OperatorKiller(group.operator, rounds, rng) if proof.is_killed else None
        runs: list[int] = []

        def run_slot(slot: Slot) -> None:
            for number in numbers(-(-rounds // slots), killer):
                proof.run(slot, number)
                runs.append(number)

        with killer.killing() if killer else nullcontext():
            group.run_all(run_slot)
        group.run_all(Slot.wait_idle)
        workload_versions = [tuple(slot.watcher.workload_versions) for slot in group.slots]
        most = max(most_rolling(seen) for seen in workload_versions)
        return ProofResult(
            name=proof.name,
            runs=len(runs),
            expected=sum(
                len(slot.expected) * len({workload_version.workload for workload_version in seen})
                for slot, seen in zip(group.slots, workload_versions, strict=True)
            ),
            restarts=sum(slot.count() for slot in group.slots),
            killed=killer.kills if killer else 0,
            most=most,
            flaws=[*group.flaws(), *_bound_flaws(most, proof.most_rolling)],
        )


def _bound_flaws(most: int, bound: int | None) -> Sequence[str]:
    return [f"{most} rolled out at a time, not {bound}"] if bound is not None and most > bound else []


def _orders(kind: str, variant: Variant, *, is_killed: bool = False) -> Proof:
    return Proof(
        name=f"{'killed-' * is_killed}order-{kind}-{variant}",
        slot_spec=lambda: sync_order.slot_spec(kind, variant),
        run=sync_order.run(kind, variant),
        is_killed=is_killed,
    )


def _bursts(kind: str, *, is_killed: bool = False) -> Proof:
    return Proof(
        name=f"{'killed-' * is_killed}burst-{kind}",
        slot_spec=lambda: bursts.slot_spec(kind),
        run=bursts.run,
        slots=5,
        is_killed=is_killed,
    )


def _concurrency(name: str, run: Callable[[Slot, int], None], **more: bool) -> Proof:
    return Proof(
        name=name,
        slot_spec=concurrency.slot_spec,
        run=run,
        slots=2,
        most_rolling=concurrency.MAX_CONCURRENT,
        **more,
    )


PROOFS = (
    _concurrency("bound", concurrency.run),
    _concurrency("halt", concurrency.run_halted),
    *(_bursts(kind) for kind in KINDS),
    *(
        _orders(kind, variant)
        for kind in KINDS
        for variant in (Variant.SLOW, Variant.FAILING, Variant.SILENT, Variant.SAME)
    ),
    _concurrency("killed-bound", concurrency.run, is_killed=True),
    _concurrency("killed-halt", concurrency.run_halted, is_killed=True),
    *(_bursts(kind, is_killed=True) for kind in KINDS),
    *(_orders(kind, Variant.SLOW, is_killed=True) for kind in KINDS),
)

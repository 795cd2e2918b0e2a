"""Playing a row: as many tries as wanted, each a fault with changes around it, then the verdict."""

import itertools
import random
import re
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from e2e.faults import waiting
from e2e.faults.infisicals import Change
from e2e.faults.proxying import Loop
from e2e.faults.rows import Moment, Row
from e2e.faults.stages import CONCERNED, KEYS, Stage, staged
from e2e.faults.verdicts import Told, Tried, judged
from local_cluster import Cluster, ClusterError

Say = Callable[[str], None]

_SHARP = 0.2
"""Seconds: within this after a change the whole work for it is done, so a fault hits any part of it."""


@dataclass(frozen=True, slots=True)
class Theatre:
    """What all rows share. What a failed row has written stays in its folder."""

    cluster: Cluster
    loop: Loop
    folder: Path
    say: Say


def play(theatre: Theatre, row: Row, rounds: int, first: int = 0) -> Told:
    """Play a row from its try number `first` on; what keeps it from being played to its end is told."""
    folder = theatre.folder / row.name
    folder.mkdir(parents=True)
    tries: list[Tried] = []
    trouble, blind = "", 0
    try:
        with staged(
            theatre.cluster,
            theatre.loop,
            folder,
            resync=row.resync,
            is_intercepted=row.is_intercepted,
            has_own_clock=row.has_own_clock,
        ) as stage:
            for number in range(first, first + min(rounds, row.at_most or rounds)):
                tries.append(_tried(stage, row, number))
                theatre.say(f"{row.name}: {_summary(tries[-1])}")
            tries.extend(_late(stage, row))
            blind = stage.blind_seconds()
    except (AssertionError, httpx.HTTPError, ClusterError, OSError) as error:
        (folder / "trouble.txt").write_text(traceback.format_exc())
        trouble = f"{type(error).__name__}: {error}"[:300]
    told = Told(row.name, tuple(tries), blind, trouble or defect_in(folder))
    if told.is_well:
        shutil.rmtree(folder)
    else:
        theatre.say(f"{row.name}: FAILED {told.trouble or 'by its count'}; see {folder}")
    return told


def _tried(stage: Stage, row: Row, number: int) -> Tried:
    rng = random.Random(f"{row.name}-{number}")  # noqa: S311 - chooses moments, keeps no secret
    before, struck = stage.counted, stage.struck
    changes = _changed_around(stage, row, row.moments[number % len(row.moments)], rng)
    _await_restarts(stage, row, before, changes)
    waiting.lasting(row.quiet)
    stage.calm_down()
    stage.witness.catch_up()
    seen = stage.count()
    tried = judged(changes, seen, CONCERNED, by_sight=row.has_own_clock)
    return replace(tried, struck=stage.struck - struck)


def defect_in(folder: Path) -> str:
    """What an operator has told of its own defects, which it outlives; empty if there were none."""
    for log in folder.rglob("operator.log"):
        _, found, trace = log.read_text().partition("Traceback (most recent call last)")
        if found:
            last = next(
                (line for line in trace.splitlines() if re.match(r"\s*[\w.]+(Error|Exception)\b", line)), ""
            )
            return f"a defect in {log.name}: {last.strip()}"
    return ""


def _late(stage: Stage, row: Row) -> list[Tried]:
    """What was restarted after the last try had been judged, and for no reason."""
    waiting.lasting(row.quiet)
    stage.witness.catch_up()
    seen = stage.count()
    return [judged([], seen, CONCERNED)] if seen else []


def _changed_around(stage: Stage, row: Row, moment: Moment, rng: random.Random) -> list[Change]:
    """Make the fault, and changes at the moment; or one at each moment that the row admits."""
    paths = itertools.cycle(rng.sample(sorted(CONCERNED), len(CONCERNED)))
    wanted = set(row.moments) if moment is Moment.AROUND else {moment}
    changes: list[Change] = []

    def change(now: Moment) -> None:
        if now in wanted:
            changes.append(stage.change(next(paths), rng.choice(KEYS)))

    change(Moment.BEFORE)
    waiting.lasting(rng.uniform(0, _SHARP))
    try:
        row.begin(stage, rng)
        change(Moment.DURING)
        waiting.lasting(row.seconds)
    finally:
        row.heal(stage)
    change(Moment.AFTER)
    return changes


def _await_restarts(stage: Stage, row: Row, before: int, changes: list[Change]) -> None:
    """Wait until the last change of each workload has reached it, or patience is at an end."""

    def is_done() -> bool:
        rollouts = stage.witness.rollouts[before:]
        return not judged(changes, rollouts, CONCERNED, by_sight=row.has_own_clock).lost

    try:
        waiting.until(is_done, seconds=row.patience, what="each workload was restarted")
    except waiting.NotInTimeError:
        return  # the verdict will say so


def _summary(tried: Tried) -> str:
    flaws = [f"LOST {', '.join(tried.lost)}"] if tried.lost else []
    flaws += [f"DOUBLE {', '.join(tried.doubled)}"] if tried.doubled else []
    expected = str(tried.least) if tried.least == tried.most else f"{tried.least}-{tried.most}"
    told = f"{tried.changes} changed, {tried.seen} of {expected} restarts, {tried.longest:.1f} s"
    return ", ".join([told, *flaws])

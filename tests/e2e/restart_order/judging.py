"""What a witness' records prove: pure functions of them, by resourceVersions alone."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from e2e.restart_order.witnesses import Content, Standing

Data = Mapping[str, str]


def restarts(workload_states: Iterable[Standing]) -> list[Standing]:
    """Each Deployment's versions with other receipts than the version before; the first sight is none."""
    last: dict[str, tuple[tuple[str, str], ...]] = {}
    found = []
    for workload_state in workload_states:
        if last.setdefault(workload_state.workload, workload_state.records) != workload_state.records:
            found.append(workload_state)
        last[workload_state.workload] = workload_state.records
    return found


def content_at(contents: Iterable[Content], version: int) -> dict[str, Data]:
    """What each Secret held when something got this version."""
    return {content.secret: content.data for content in contents if content.version < version}


def carried(
    workload_states: Iterable[Standing], contents: Sequence[Content]
) -> dict[str, list[dict[str, Data]]]:
    """By Deployment: what the Secrets held at the moment of each of its restarts."""
    found: dict[str, list[dict[str, Data]]] = {
        workload_state.workload: [] for workload_state in workload_states
    }
    for restart in restarts(workload_states):
        found[restart.workload].append(content_at(contents, restart.version))
    return found


def most_rolling(workload_states: Iterable[Standing]) -> int:
    """How many of the Deployments that were restarted were rolling out at the same version, at most."""
    ordered = sorted(workload_states, key=lambda workload_state: workload_state.version)
    first = {workload_state.workload: workload_state.records for workload_state in reversed(ordered)}
    rolling: set[str] = set()
    most = 0
    for workload_state in ordered:
        if workload_state.is_rolling and workload_state.records != first[workload_state.workload]:
            rolling.add(workload_state.workload)
        else:
            rolling.discard(workload_state.workload)
        most = max(most, len(rolling))
    return most


def flaws(
    found: Mapping[str, Sequence[Mapping[str, Data]]], expected: Sequence[Mapping[str, Data]]
) -> list[str]:
    """A sentence for each Deployment whose restarts did not find the Secrets as they had to be.

    `expected` is what the Secrets hold at its first restart, its second and so on: a restart that comes too
    early, twice, or not at all makes the rows differ.
    """
    sentences = []
    for workload, rows in sorted(found.items()):
        for number, (seen, wanted) in enumerate(itertools.zip_longest(rows, expected), 1):
            if seen is None:
                sentences.append(f"{workload} lacks restart {number} of {len(expected)}")
                break
            if wanted is None:
                sentences.append(f"{workload} was restarted {len(rows)} times, not {len(expected)}")
                break
            if other := [name for name, data in wanted.items() if seen.get(name) != data]:
                sentences.append(f"{workload} had other content of {', '.join(other)} at restart {number}")
                break
    return sentences

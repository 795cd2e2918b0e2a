"""The assertions of the proofs: pure functions of a watcher's records, by resourceVersions alone."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from e2e.restart_order.namespace_watcher import SecretContent, WorkloadVersion

Data = Mapping[str, str]


def restarts(workload_versions: Iterable[WorkloadVersion]) -> list[WorkloadVersion]:
    """Return the versions whose revision annotations differ from the version before; the first never does."""
    last: dict[str, tuple[tuple[str, str], ...]] = {}
    found = []
    for workload_version in workload_versions:
        if last.setdefault(workload_version.workload, workload_version.records) != workload_version.records:
            found.append(workload_version)
        last[workload_version.workload] = workload_version.records
    return found


def content_at(contents: Iterable[SecretContent], version: int) -> dict[str, Data]:
    """Return the content of each Secret before a resourceVersion."""
    return {content.secret: content.data for content in contents if content.version < version}


def contents_at_restarts(
    workload_versions: Iterable[WorkloadVersion], contents: Sequence[SecretContent]
) -> dict[str, list[dict[str, Data]]]:
    """Return the content of the Secrets at each restart, by Deployment."""
    found: dict[str, list[dict[str, Data]]] = {
        workload_version.workload: [] for workload_version in workload_versions
    }
    for restart in restarts(workload_versions):
        found[restart.workload].append(content_at(contents, restart.version))
    return found


def most_rolling(workload_versions: Iterable[WorkloadVersion]) -> int:
    """Return the largest number of restarted Deployments that roll out at the same time."""
    ordered = sorted(workload_versions, key=lambda workload_version: workload_version.version)
    first = {workload_version.workload: workload_version.records for workload_version in reversed(ordered)}
    rolling: set[str] = set()
    most = 0
    for workload_version in ordered:
        if workload_version.is_rolling and workload_version.records != first[workload_version.workload]:
            rolling.add(workload_version.workload)
        else:
            rolling.discard(workload_version.workload)
        most = max(most, len(rolling))
    return most


def flaws(
    found: Mapping[str, Sequence[Mapping[str, Data]]], expected: Sequence[Mapping[str, Data]]
) -> list[str]:
    """Return a sentence for each Deployment whose restarts do not match the expected content.

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

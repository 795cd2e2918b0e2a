"""The content of a Secret that the operator itself writes, from one read of a folder with values.

Values are in `FolderValues` and in the `ManagedSecretContent` made of it. Neither shows them in a `repr`, no
message names one, and the fingerprint that is compared is a keyed digest of the data.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from infisical_events.api.specs import ManagedSecret, Spec
from infisical_events.core.ledger.acceptance import MAX_READ_LAG
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.paths.path_globs import KeyFilter
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState
from infisical_events.core.status.text import counted, preview
from infisical_events.core.sync.sync_requests import fingerprint
from infisical_events.core.sync.templates import TemplateError, check_templates, length_of, names_of, rendered
from infisical_events.core.sync.value_digests import DigestKey

_MOST_BYTES: Final = 1024 * 1024
"""Kubernetes' `MaxSecretSize`: all values together, decoded."""
_LONGEST_KEY: Final = 253
_DATA_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_MOST_NAMES: Final = 5
"""Names that one sentence has."""


class ContentError(ValueError):
    """The spec asks for a Secret that cannot be made; the message says what to change and names no value."""


@dataclass(frozen=True, slots=True)
class FolderValues:
    """One folder as it was read with values: its own partition, also when that is empty, and its imports.

    `values` has the values of each partition, by key.
    """

    partitions: Mapping[Partition, PartitionState]
    values: Mapping[Partition, Mapping[str, str]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ManagedSecretContent:
    """The content of a Secret: text by data key, its fingerprint, and the keys that no Secret can have."""

    data: Mapping[str, str] = field(repr=False)
    fingerprint: str
    invalid_keys: tuple[str, ...] = ()

    @property
    def omission(self) -> str:
        """Which keys the Secret does not have, as a clause for people; empty if it has all."""
        if not self.invalid_keys:
            return ""
        return (
            f"written without the invalid Secret key {_listed(self.invalid_keys)}: rename it by a template, "
            "or exclude it by secretKeys"
        )


def folder_of(managed: ManagedSecret) -> Folder:
    """The folder that the Secret is made from."""
    return Folder(managed.environment_slug, managed.secret_path)


def managed_secret_content_of(
    folder_values: FolderValues, managed: ManagedSecret, namespace: str, key: DigestKey
) -> ManagedSecretContent:
    """The content of the Secret; without a template it has the keys that a Secret can have.

    Raises:
        ContentError: it cannot be made.
    """
    winners = _winners(folder_values, managed)
    values = {name: folder_values.values[partition][name] for name, partition in winners.items()}
    data = _data(values, managed)
    _check_size(data, managed)
    invalid_keys = () if managed.template else tuple(sorted(values.keys() - data.keys()))
    text = json.dumps(data, sort_keys=True)
    token = fingerprint(key.id, key.digest(f"{namespace}/{managed.name}", text))
    return ManagedSecretContent(data, token, invalid_keys)


def matches_accepted(folder_values: FolderValues, accepted: Mapping[Partition, PartitionState]) -> bool:
    """Whether the read shows the accepted state of this folder in the same ids and versions.

    What the accepted state does not cover is left out, so a read that shows more than it matches.
    """
    return all(
        body.agrees(seen)
        for partition, body in accepted.items()
        for seen in _states_for(folder_values, partition, body)
    )


def may_lack_import(folder_values: FolderValues, ledger: Ledger, now: datetime) -> bool:
    """Whether an import that a recursive read has just shown may be this folder's, and missing here.

    A recursive read does not say which of its folders an import belongs to. So for as long as reads may
    be stale, one that does not show the import may be older than the accepted state.
    """
    sources = {partition.source for partition in folder_values.partitions}
    folders = {partition.folder for partition in folder_values.partitions if partition.source is None}
    return any(
        now <= until
        for folder in folders
        for source, until in doubtful_imports(folder, ledger)
        if source not in sources
    )


def doubtful_imports(folder: Folder, ledger: Ledger) -> Iterator[tuple[Folder | None, datetime]]:
    """The imports that may be this folder's, and until when a read that does not show one may be stale."""
    for partition, held in ledger.accepted.items():
        is_new = partition.scope.recursive and ledger.baselined_at < held.accepted_at
        if is_new and partition.source and held.state != ABSENT and partition.scope.covers(folder):
            yield partition.source, held.accepted_at + MAX_READ_LAG


def check_secrets(spec: Spec) -> None:
    """Refuse a spec with a Secret that can never be made, beyond what the CRD and the models check.

    Raises:
        ValueError: with one sentence per mistake, each naming its field.
    """
    check_templates(spec)
    mistakes = [
        f"spec.resync.secrets[{place}].{mistake}"
        for place, managed in enumerate(spec.resync.secrets)
        for mistake in _mistakes(managed)
    ]
    if mistakes:
        raise ValueError("; ".join(mistakes))


def _winners(folder_values: FolderValues, managed: ManagedSecret) -> dict[str, Partition]:
    """The partition that each selected key is taken from.

    Own secrets override imports, and later imports override earlier ones, as in the server's own
    resolver.
    """
    keys = KeyFilter(managed.secret_keys)
    ordered = sorted(
        folder_values.partitions.items(), key=lambda entry: (entry[0].source is None, entry[1].rank)
    )
    return {key: partition for partition, body in ordered for key in body.versions if keys.matches(key)}


def _states_for(
    folder_values: FolderValues, partition: Partition, current: PartitionState
) -> Iterator[PartitionState]:
    """What was read in place of an accepted partition; nothing where the read does not cover it.

    An import that a recursive read has shown has no folder and has another rank in another list.
    """
    if any(partition.scope == seen.scope for seen in folder_values.partitions):
        yield folder_values.partitions.get(partition, ABSENT)
        return
    for seen, body in folder_values.partitions.items():
        if (
            partition.source is not None
            and partition.source == seen.source
            and partition.scope.covers(seen.folder)
        ):
            yield replace(body, rank=current.rank)


def _data(values: Mapping[str, str], managed: ManagedSecret) -> dict[str, str]:
    if managed.template:
        _check_bytes(length_of(managed.template, values), managed)  # before it fills the memory
        try:
            return rendered(managed.template, values)
        except TemplateError as error:
            raise ContentError(f"secret/{managed.name} from {folder_of(managed)}: {error}.") from None
    return {key: value for key, value in values.items() if _is_data_key(key)}


def _check_size(data: Mapping[str, str], managed: ManagedSecret) -> None:
    broken = sorted(key for key, text in data.items() if not _is_writable(text))
    if broken:
        raise ContentError(
            f"secret/{managed.name}: the value of {_listed(broken)} is not valid Unicode text."
        )
    _check_bytes(sum(len(text.encode()) for text in data.values()), managed)


def _check_bytes(size: int, managed: ManagedSecret) -> None:
    if size > _MOST_BYTES:
        raise ContentError(
            f"secret/{managed.name} would have {counted(size, 'byte')}, more than Kubernetes admits "
            f"({_MOST_BYTES}): select fewer secrets by secretKeys, or distribute them over several Secrets."
        )


def _is_writable(text: str) -> bool:
    """Whether UTF-8 can encode it: JSON may name half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_data_key(key: str) -> bool:
    """Kubernetes' `IsConfigMapKey`: these characters, and nothing that leads out of a volume's folder."""
    return (
        len(key) <= _LONGEST_KEY
        and _DATA_KEY.fullmatch(key) is not None
        and key != "."
        and not key.startswith("..")
    )


def _listed(names: Sequence[str]) -> str:
    """A few names, on one line, with odd characters escaped."""
    return preview([ascii(name[:64]) for name in names], _MOST_NAMES)


def _mistakes(managed: ManagedSecret) -> Iterator[str]:
    yield from _mistakes_of_selection(managed)
    for key in sorted(managed.template):
        if not _is_data_key(key):
            yield f"template: {key[:64]!a} is not a valid Secret key: it would lead out of a volume"


def _mistakes_of_selection(managed: ManagedSecret) -> Iterator[str]:
    try:
        keys = KeyFilter(managed.secret_keys)
    except ValueError as error:
        yield f"secretKeys: {error}"
        return
    left_out = sorted(name for name in names_of(managed.template) if not keys.matches(name))
    if left_out:
        yield f"template: it refers to {_listed(left_out)}, which secretKeys excludes"

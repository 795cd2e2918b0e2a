"""Arbitrary values of the core's types, for laws that hold for all of them.

Names are drawn from few, so that draws meet: two bodies share keys, two scopes overlap.
"""

from datetime import UTC, datetime

from hypothesis import strategies as st

from infisical_events.api.specs import EventType, Grade
from infisical_events.core.ledger.acceptance import AcceptedState, ReceivedEvent
from infisical_events.core.ledger.ledger import (
    Header,
    Ledger,
    PendingRestart,
    RecentlyRemoved,
    Unconfirmed,
    UnmatchedImportChange,
    UnmatchedImportEvent,
)
from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion, Snapshot
from support.builders import at

few_keys = st.sampled_from("ABC")
few_folders = st.builds(Folder, st.sampled_from(["prod", "dev"]), st.sampled_from(["/", "/a", "/a/b", "/ab"]))
few_scopes = st.builds(Scope, few_folders, st.booleans())
few_partitions = st.builds(Partition, few_scopes.map(lambda scope: Scope(scope.folder))) | st.builds(
    Partition, few_scopes, few_folders
)
event_types = st.frozensets(st.sampled_from(EventType), min_size=1)


_IDS = ("id-1", "id-2", "id-3")
few_digests = st.sampled_from(["", "", "d1", "d2"])
few_ids = st.sampled_from(_IDS)


@st.composite
def _bodies(draw: st.DrawFn, ranks: st.SearchStrategy[int]) -> PartitionState:
    """A secret stands under one key at a time."""
    ids = draw(st.permutations(_IDS))
    keys = draw(st.sets(few_keys))
    named = zip(sorted(keys), ids, strict=False)
    secret_versions = {
        key: SecretVersion(name, draw(st.integers(1, 3)), draw(few_digests)) for key, name in named
    }
    return PartitionState.of(secret_versions, draw(ranks))


own_states = _bodies(st.just(0))
states = _bodies(st.integers(0, 2))


# -- whatever a server or an API server may hand over ---------------------------------------------

texts = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates, too
folders = st.builds(Folder, texts, texts.map(canonical))
scopes = st.builds(Scope, folders, st.booleans())
partitions = st.builds(Partition, scopes, st.none() | folders)
changes = st.builds(Change, scopes, texts, event_types)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
few_moments = st.integers(-100, 100).map(at)
whole_states = st.builds(
    PartitionState.of,
    st.dictionaries(texts, st.builds(SecretVersion, texts, st.integers(0), texts)),
    st.integers(0),
)
wide_states = whole_states | whole_states.map(PartitionState.compacted)
several_changes = st.lists(changes, max_size=3).map(tuple)
flags = st.booleans()
unconfirmed = st.none() | st.sampled_from(Unconfirmed)
all_pending = st.builds(
    PendingRestart, texts, texts, texts, st.integers(0), moments, several_changes, flags, unconfirmed
)
wide_accepted_states = st.builds(AcceptedState, wide_states, moments, st.frozensets(texts))
ledgers = st.builds(
    Ledger,
    header=st.builds(Header, texts, texts, st.sampled_from(Grade), texts),
    epoch=texts,
    seq=st.integers(0),
    baselined_at=moments,
    scopes=st.lists(scopes, max_size=2).map(tuple),
    accepted=st.dictionaries(partitions, wide_accepted_states, max_size=3),
    recently_removed=st.dictionaries(
        partitions, st.builds(RecentlyRemoved, wide_accepted_states, moments), max_size=2
    ),
    pending=st.lists(all_pending, max_size=2).map(tuple),
    unmatched_events=st.lists(st.builds(UnmatchedImportEvent, folders, moments), max_size=2).map(tuple),
    unmatched_changes=st.lists(st.builds(UnmatchedImportChange, scopes, moments), max_size=2).map(tuple),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


# -- looks that meet what is believed -------------------------------------------------------------

events = st.builds(SecretEvent, st.sampled_from(EventType), few_folders, st.frozensets(few_keys))
received_events = st.lists(st.builds(ReceivedEvent, events, few_moments), max_size=3).map(tuple)
observed_scopes = st.sampled_from(
    [
        (Scope(Folder("prod", "/a")),),
        (Scope(Folder("prod", "/a"), recursive=True),),
        (Scope(Folder("prod", "/"), recursive=True),),
        (Scope(Folder("dev", "/")), Scope(Folder("prod", "/a/b"))),
    ]
)
few_accepted_states = st.builds(
    AcceptedState, states | states.map(PartitionState.compacted), few_moments
) | st.builds(
    lambda body, moment, gone: AcceptedState(body, moment, gone - body.ids),
    states,
    few_moments,
    st.frozensets(few_ids),
)
few_changes = st.builds(Change, few_scopes, few_keys | st.just(ANY_KEY), event_types)
_FOLDERS = [Folder("dev", "/"), *(Folder("prod", path) for path in ("/", "/a", "/a/b", "/ab"))]
_SOURCE = Folder("dev", "/shared")


def _parts_of(scopes: tuple[Scope, ...]) -> st.SearchStrategy[Partition]:
    """The partitions that a read of these scopes can show: own secrets and imports of their folders."""
    own = [Partition.own(folder) for folder in _FOLDERS if any(scope.covers(folder) for scope in scopes)]
    return st.sampled_from([*own, *(Partition(scope, _SOURCE) for scope in scopes)])


def _held_by(scopes: tuple[Scope, ...]) -> st.SearchStrategy[Ledger]:
    beliefs = st.dictionaries(_parts_of(scopes), few_accepted_states, max_size=3)
    import_events = st.lists(
        st.builds(UnmatchedImportEvent, few_folders, few_moments), max_size=2, unique_by=lambda c: c.folder
    )
    return st.builds(
        Ledger,
        header=st.just(Header("7f4d1c2b", "https://app.infisical.com", Grade.VERSIONS)),
        epoch=st.just("epoch"),
        seq=st.just(5),
        baselined_at=few_moments,
        scopes=st.just(scopes),
        accepted=beliefs,
        unmatched_events=import_events.map(tuple),
        unmatched_changes=st.lists(st.builds(UnmatchedImportChange, few_scopes, few_moments), max_size=2).map(
            tuple
        ),
    )


def _seen_in(scopes: tuple[Scope, ...]) -> st.SearchStrategy[Snapshot]:
    partitions = st.dictionaries(_parts_of(scopes), states, max_size=3)
    return st.builds(
        lambda seen, started, lasted: Snapshot(scopes, seen, at(started), at(started + lasted)),
        partitions,
        st.integers(-20, 200),
        st.integers(0, 5),
    )


ledgers_with_snapshots = observed_scopes.flatmap(lambda scopes: st.tuples(_held_by(scopes), _seen_in(scopes)))
"""A ledger and a look at the same scopes."""

snapshots = observed_scopes.flatmap(_seen_in)
"""A look that took some time, and showed what it can show."""

few_ledgers = observed_scopes.flatmap(_held_by)
"""A ledger of such looks, at the same scopes or at others."""

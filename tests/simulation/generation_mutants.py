"""Mutants of how the operator reads servers of several generations: each knows one kind of them only."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from infisical_events.api.specs import Grade
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical import error_responses, event_stream, secret_lists
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.runtime import backoff
from infisical_events.runtime.reconcile import snapshot_reader
from simulation.mutants import Mutation

GENERATION_MUTATIONS: dict[str, Mutation] = {}

Patch = AbstractContextManager[Any]


def _mutation(name: str) -> Any:  # noqa: ANN401 - a decorator of mutations
    def register(make: Mutation) -> Mutation:
        GENERATION_MUTATIONS[name] = make
        return make

    return register


@_mutation("every 400 of a subscribe is the plan")
def _any_400_is_plan() -> Patch:
    return mock.patch.object(event_stream, "_PLAN", re.compile(""))


@_mutation("every error with a name is Infisical's own")
def _any_name_is_own() -> Patch:
    def is_own_error(_: int, body: Mapping[str, Any]) -> bool:
        return bool(body.get("error"))

    return mock.patch.object(error_responses, "is_own_error", is_own_error)


@_mutation("who is no member may read events alone")
def _no_member_reads_events() -> Patch:
    def may_be_on_purpose(error: InfisicalError) -> bool:
        return error.reason is Reason.PERMISSION_DENIED

    return mock.patch.object(snapshot_reader, "_may_be_on_purpose", may_be_on_purpose)


@_mutation("every list has its imports")
def _imports_are_required() -> Patch:
    real = secret_lists._decoded_list

    def decoded(response: Any) -> Any:  # noqa: ANN401 - as decoded
        body = real(response)
        if body.imports is None:
            raise secret_lists._unknown_shape()
        return body

    return mock.patch.object(secret_lists, "_decoded_list", decoded)


@_mutation("the first route of lists is the only one")
def _one_route() -> Patch:
    async def read(lists: Any, *asked: Any) -> Any:  # noqa: ANN401 - as read
        return await lists._read_by(lists._route, *asked)

    return mock.patch.object(secret_lists.SecretLists, "_read", read)


@_mutation("a server without events stays without")
def _never_again() -> Patch:
    pauses = {**backoff._MIN_PAUSE, Reason.EVENTS_NOT_SUPPORTED: 1e6}
    return mock.patch.object(backoff, "_MIN_PAUSE", pauses)


@_mutation("who reads events alone never reads lists again")
def _blind_for_good() -> Patch:
    real = snapshot_reader.SnapshotReader._current

    async def current(reader: Any, ledger: Any) -> Any:  # noqa: ANN401 - as read
        if ledger is None or ledger.header.grade is not Grade.EVENTS or reader.spec.observe:
            return await real(reader, ledger)
        header = await reader._header(Grade.EVENTS)
        return snapshot_reader.ReadResult(header, reader.scopes, ())

    return mock.patch.object(snapshot_reader.SnapshotReader, "_current", current)

"""Decoded payloads of the stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.scopes import Folder
from infisical_events.core.snapshots.events import (
    ErrorFrame,
    Frame,
    SecretEvent,
    UnrecognizedFrame,
    decode_frame,
)
from support.builders import CREATE, DELETE, IMPORT, UPDATE, a_folder, an_event
from support.strategies import json_values, texts

CANARY = "canary-3f9c"


def an_item(path: str = "/a", environment: str = "prod", **fields: object) -> dict[str, object]:
    """One item of a payload."""
    return {"environment": environment, "secretPath": path, **fields}


def decoded(payload: object, event: str = UPDATE, **envelope: object) -> tuple[Frame, ...]:
    """The decoded item of a payload in the newer generation's envelope."""
    data = {"eventType": event, "payload": payload}
    return decode_frame(event, json.dumps({"projectType": "secret-manager", "data": data} | envelope))


@pytest.mark.parametrize("event", [CREATE, UPDATE, DELETE])
def test_one_event_names_all_keys_of_a_folder(event: str) -> None:
    """A payload with several items of one folder is one event."""
    payload = [an_item(secretKey="A"), an_item(secretKey="B")]

    assert decoded(payload, event) == (an_event(event, "/a", "A", "B"),)


def test_the_older_generation_is_understood() -> None:
    """There `type` stands for `projectType`, and `secretKeys` is a string in spite of its name."""
    data = {
        "eventType": "secret:update",
        "payload": [an_item(secretKeys="A"), an_item(secretKeys=["B", "C"])],
    }

    assert decode_frame("secret:update", json.dumps({"type": "secret-manager", "data": data})) == (
        an_event(UPDATE, "/a", "A", "B", "C"),
    )


def test_the_oldest_generation_is_understood() -> None:
    """There the frame is named by the project type, and the bus's whole envelope is the data."""
    data = {"specversion": "1.0", "event": "secret:delete", "payload": an_item(secretKey="A", secretId="x")}

    assert decode_frame("secret-manager", json.dumps({"datacontenttype": "x", "data": data})) == (
        an_event(DELETE, "/a", "A"),
    )


def test_an_import_mutation_names_a_folder_only() -> None:
    """Its payload is one object, and keys that it might name are none of it."""
    assert decoded(an_item(secretKey="A"), IMPORT) == (an_event(IMPORT, "/a"),)


def test_an_event_of_several_folders_is_told_apart() -> None:
    """A batch over folders and environments is one event for each of them."""
    payload = [an_item(secretKey="A"), an_item("/b", secretKey="B"), an_item("/a", "dev", secretKey="A")]

    assert decoded(payload) == (
        an_event(UPDATE, "/a", "A"),
        an_event(UPDATE, "/b", "B"),
        SecretEvent(UPDATE, Folder("dev", "/a"), frozenset("A")),
    )


@pytest.mark.parametrize("path", ["a", "//a", "/a/", "/a"])
def test_a_path_is_the_text_of_some_request(path: str) -> None:
    """However a writer spelled the folder, it is that folder."""
    assert decoded([an_item(path, secretKey="A")]) == (SecretEvent(UPDATE, a_folder("/a"), frozenset("A")),)


@pytest.mark.parametrize(
    ("name", "data"), [("ping", ""), ("ping", "{}"), ("message", ""), ("secret:update", "")]
)
def test_pings_and_empty_events_say_nothing(name: str, data: str) -> None:
    """A heartbeat is life and no news; the reader makes up an empty event after each id."""
    assert decode_frame(name, data) == ()


@pytest.mark.parametrize("data", ["", '{"message": "Permission denied or refresh failed"}', "}"])
def test_an_error_is_a_refusal(data: str) -> None:
    """The server says that it is about to end the stream, whatever else it says with it."""
    assert decode_frame("error", data) == (ErrorFrame(),)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("{" + CANARY, "not JSON"),
        ("[" * 100_000, "too deeply"),
        (json.dumps(CANARY), "no data object"),
        (json.dumps([CANARY]), "no data object"),
        (json.dumps({"data": CANARY}), "no data object"),
        (json.dumps({"data": {"eventType": CANARY}}), "type is unknown"),
        (json.dumps({"data": {"eventType": [CANARY]}}), "type is unknown"),
        (json.dumps({"data": {"eventType": {}}}), "type is unknown"),
        (json.dumps({"data": {"eventType": "create-secret", "payload": {}}}), "type is unknown"),
        (json.dumps({"data": {}}), "type is unknown"),
        (json.dumps({"data": {"eventType": UPDATE}}), "no environment or no path"),
        (json.dumps({"data": {"eventType": UPDATE, "payload": [CANARY]}}), "no environment or no path"),
        (json.dumps({"data": {"eventType": UPDATE, "payload": [an_item(1)]}}), "no environment or no path"),
        (json.dumps({"data": {"eventType": UPDATE, "payload": [{"secretPath": "/"}]}}), "no environment"),
        (json.dumps({"data": {"eventType": UPDATE, "payload": []}}), "payload is empty"),
    ],
)
def test_what_is_not_understood_is_a_reason_to_look(data: str, why: str) -> None:
    """A frame that is no event of the four says why, and never repeats foreign text."""
    (frame,) = decode_frame("secret:update", data)

    assert isinstance(frame, UnrecognizedFrame)
    assert why in frame.why
    assert CANARY not in frame.why


@pytest.mark.parametrize("key", [None, 1, {"a": 1}, [1, None]])
def test_an_item_without_names_still_names_a_folder(key: object) -> None:
    """Keys that are not text are left out; the folder alone triggers a read."""
    assert decoded([an_item(secretKey=key)]) == (an_event(UPDATE, "/a"),)


def test_an_event_of_many_keys() -> None:
    """Ten thousand keys in one frame are one event."""
    keys = [f"KEY_{number}" for number in range(10_000)]

    assert decoded([an_item(secretKey=key) for key in keys]) == (an_event(UPDATE, "/a", *keys),)


@pytest.mark.parametrize(
    "items",
    [
        [an_item(secretKey=f"KEY_{number}") for number in range(10_001)],
        [an_item(f"/team-{number}", secretKey="A") for number in range(1_001)],
        [an_item(secretKey="A" * 2_049)],
        [an_item("/" + "a" * 2_048, secretKey="A")],
        [an_item(secretKey=[f"{number:x}" for number in range(200_000)])],
    ],
    ids=["keys", "folders", "key", "path", "not even parsed"],
)
def test_an_event_larger_than_any_of_infisical(items: list[dict[str, object]]) -> None:
    """It is not kept: all that it says is that something may have changed."""
    (frame,) = decoded(items)
    assert isinstance(frame, UnrecognizedFrame)


@given(texts, texts)
def test_any_text_decodes(name: str, data: str) -> None:
    """No text of a server raises anything."""
    decode_frame(name, data)


@given(json_values, json_values, json_values)
def test_any_json_decodes(whole: Any, kind: Any, payload: Any) -> None:  # noqa: ANN401 - JSON
    """No JSON raises anything, neither as the envelope nor in any place of it."""
    for event in (kind, UPDATE, IMPORT):
        for envelope in (whole, {"data": whole}, {"data": {"eventType": event, "payload": payload}}):
            frames = decode_frame("secret:update", json.dumps(envelope))

            assert frames
            assert all(isinstance(frame, SecretEvent | UnrecognizedFrame) for frame in frames)


@given(
    st.lists(st.builds(an_item, texts, texts, secretKey=texts), min_size=1), st.sampled_from([CREATE, DELETE])
)
def test_every_key_of_a_payload_is_in_some_event(payload: list[dict[str, str]], event: str) -> None:
    """Nothing that a frame names is left out, and nothing is made up."""
    names = {(item["environment"], item["secretKey"]) for item in payload}
    events = decoded(payload, event)

    assert {
        (e.folder.environment, key) for e in events if isinstance(e, SecretEvent) for key in e.keys
    } == names

"""The CRD in a real API server: accepted specs, rejected specs, and the messages."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infisical_events.api import resources
from infisical_events.api.specs import InvalidSpecError, Spec, parse_spec
from infisical_events.api.statuses import Status
from infisical_events.core.ledger import codec
from support import invalid_specs, reports, schemas
from support.kubectl import KubectlError

pytestmark = pytest.mark.cluster

Kubectl = Callable[..., str]

SAMPLES = schemas.ROOT / "deploy" / "samples"


@pytest.fixture(scope="module")
def kubectl(kubectl: Kubectl, eventually: Callable[..., Any]) -> Kubectl:
    """The session's kubectl, with the CRD established."""
    kubectl("apply", "--server-side", "-f", str(schemas.CRD_FILE))
    name = schemas.CRD["metadata"]["name"]
    eventually(
        lambda: kubectl("wait", "crd", name, "--for=condition=Established", "--timeout=10s"), seconds=30
    )
    return kubectl


def subscription(name: str, spec: object) -> dict[str, Any]:
    """Return a manifest."""
    return {
        "apiVersion": resources.API_VERSION,
        "kind": resources.KIND,
        "metadata": {"name": name},
        "spec": spec,
    }


_INVALID = re.compile(r'Error from server \(Invalid\): .+ "case-(?P<number>\d+)" is invalid: (?P<why>.+)')


def refusals(kubectl: Kubectl, specs: list[dict[str, Any]]) -> dict[int, str]:
    """Return the API server's messages about specs by their index; nothing is stored."""
    items = [subscription(f"case-{number}", spec) for number, spec in enumerate(specs)]
    manifest = {"apiVersion": "v1", "kind": "List", "items": items}
    try:
        # kubectl's own validation is left out: it would end at the first document.
        flags = ("--dry-run=server", "--validate=false", "-n", "default")
        kubectl("create", *flags, "-f", "-", stdin=json.dumps(manifest))
    except KubectlError as refused:
        found = [_INVALID.fullmatch(line) for line in str(refused).splitlines()]
        assert None not in found  # nothing else went wrong
        return {int(match["number"]): match["why"] for match in found if match}
    return {}


@pytest.fixture(scope="module")
def answers(kubectl: Kubectl) -> dict[str, str]:
    """Return the API server's message about each mistake."""
    said = refusals(kubectl, [mistake.spec for mistake in invalid_specs.MISTAKES])
    return {str(mistake): said.get(number, "") for number, mistake in enumerate(invalid_specs.MISTAKES)}


@pytest.mark.parametrize("mistake", invalid_specs.MISTAKES, ids=str)
def test_refusals_say_what_to_change(mistake: invalid_specs.Mistake, answers: dict[str, str]) -> None:
    """A mistake is rejected with the field's path and the remedy."""
    field, words = re.escape(mistake.named), re.escape(mistake.told)

    assert re.search(rf"{field}: ((?!, spec).)*{words}", answers[str(mistake)])


def test_models_and_api_server_agree(kubectl: Kubectl) -> None:
    """At and around every bound of every field, the models accept what the API server accepts."""
    cases = list(edge_cases())
    refused = refusals(kubectl, [spec for _, spec in cases])

    differing = {
        case: refused.get(number, "accepted by the API server alone")
        for number, (case, spec) in enumerate(cases)
        if understood(spec) == (number in refused)
    }
    assert differing == {}
    assert min(len(refused), len(cases) - len(refused)) > 50  # both answers were really asked for


def understood(spec: dict[str, Any]) -> bool:
    """Whether the models accept a spec."""
    try:
        parse_spec(spec)
    except InvalidSpecError:
        return False
    return True


_REF = {"name": "a", "key": "b"}
_METHODS = (
    {"accessTokenRef": _REF},
    {"universalAuth": {"clientIdRef": _REF, "clientSecretRef": _REF}},
    {"kubernetesAuth": {"identityId": "a", "serviceAccountName": "b", "audiences": ["c"]}},
)
_COMPLETE = invalid_specs.GOOD | {
    "address": "https://a.example",
    "resync": {"secrets": [{"name": "a", "environmentSlug": "b", "secretKeys": ["C"]}]},
    "rollout": {"maxConcurrent": 1},
    "events": [
        {
            "event": "secret:update",
            "conditions": {"environmentSlug": "a", "secretPath": "/b", "secretKeys": ["C"]},
        }
    ],
}
_BASES = (
    *(_COMPLETE | {"authentication": method} for method in _METHODS),
    {field: v for field, v in _COMPLETE.items() if field != "projectId"} | {"projectSlug": "a"},
)
_STRINGS = ("", " ", "a", "A-1", "-", "_a", "a_", "a b", "a\n", "\ta", "ä", "a\u00a0", "https://a\u00a0",
            "https://ä", "a.b", "a/b", "/", "/a*",
            "/**/{a,b}", "/a b", "/ä", "//", "../a", "https://", "http://a", "HTTPS://a", "https://a b",
            "https://a@b", "https://a/b?c#d", "ftp://a", "a:b", "!a", "\x7f", "/\x7f")  # fmt: skip


def edge_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield specs that differ from a valid one in a single field, with a description."""
    for path, leaf in schemas.of_model(Spec).items():
        field = path.replace("[]", ".0")
        base = next((base for base in _BASES if has(base, field)), _COMPLETE)
        for value in (*values(leaf, base, field), invalid_specs.REMOVED):
            if value is not invalid_specs.REMOVED or has(base, field):
                yield f"{path} = {value!r:.60}", invalid_specs.with_field(base, field, value)


def has(spec: Any, field: str) -> bool:  # noqa: ANN401 - JSON
    """Whether a field exists."""
    first, _, rest = field.partition(".")
    inner = spec[int(first)] if first.isdigit() else spec.get(first)
    return inner is not None and (not rest or has(inner, rest))


def values(leaf: schemas.Leaf, base: dict[str, Any], field: str) -> list[object]:
    """Return values at and around the bounds of a field."""
    bounds = dict(leaf.bounds)
    if leaf.type == "integer":
        low, high = bounds["minimum"], bounds["maximum"]
        return [low - 1, low, high, high + 1, 1.5, str(low)]  # type: ignore[operator] # bounds of integers
    if leaf.type == "boolean":
        return [True, False, "true", 1]
    if leaf.type == "array":
        items = base
        for step in field.split("."):
            items = items[int(step) if step.isdigit() else step]
        return [list(items)[:1] * size for size in (0, 1, bounds["maxItems"], bounds["maxItems"] + 1)]
    if leaf.type == "object":
        return [{}]
    return [*leaf.enum, *_STRINGS, *long_strings(bounds.get("maxLength", 0))]


def long_strings(limit: int) -> list[str]:
    """Return strings of the maximal length and one longer, with the beginnings that formats require."""
    lengths = (limit, limit + 1) if limit else ()
    return [start.ljust(length, "a") for start in ("a", "/", "https://") for length in lengths]


def test_unknown_field_is_named(kubectl: Kubectl, namespace: str) -> None:
    """A misspelt field is reported, not dropped."""
    manifest = subscription("typo", invalid_specs.GOOD | {"debounceSecond": 3})

    with pytest.raises(KubectlError, match=r'unknown field "spec\.debounceSecond"'):
        kubectl("apply", "-n", namespace, "--validate=strict", "-f", "-", stdin=json.dumps(manifest))


def test_samples_work(kubectl: Kubectl, namespace: str) -> None:
    """The samples can be applied as they are, and the sample workload comes up."""
    kubectl("apply", "-n", namespace, "--validate=strict", "-f", str(SAMPLES))

    kubectl("rollout", "status", "-n", namespace, "deployment/payments", "--timeout=30s")
    assert kubectl("get", "-n", namespace, "ies", "-o", "name").split() == [
        f"infisicaleventsubscription.{resources.GROUP}/payments",
        f"infisicaleventsubscription.{resources.GROUP}/payments-full",
    ]


def test_defaults_are_filled_in(kubectl: Kubectl, namespace: str) -> None:
    """A stored subscription shows the defaults, and means the same as the written one."""
    stored = create(kubectl, namespace)["spec"]

    assert parse_spec(stored) == parse_spec(invalid_specs.GOOD)
    assert {field: stored[field] for field in stored if field not in invalid_specs.GOOD} == {
        "action": "ResyncThenRestart",
        "debounceSeconds": 1,
        "cooldownSeconds": 30,
        "resyncIntervalSeconds": 300,
        "mode": "Enforce",
        "suspend": False,
    }
    assert stored["events"][0]["conditions"]["secretPath"] == "/"


def create(kubectl: Kubectl, namespace: str) -> dict[str, Any]:
    """Store the smallest subscription and return it as stored."""
    manifest = json.dumps(subscription("payments", invalid_specs.GOOD))
    stored: dict[str, Any] = json.loads(
        kubectl("create", "-n", namespace, "-o", "json", "-f", "-", stdin=manifest)
    )
    return stored


def report(kubectl: Kubectl, namespace: str, status: object) -> dict[str, Any]:
    """Write the status as the operator does, by a merge patch; return it as stored."""
    patch = json.dumps({"status": status})
    stored = kubectl(
        "patch", "ies/payments", "-n", namespace, "--subresource=status", "--type=merge",
        "-o", "json", "-p", patch,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(stored)["status"]
    return found


def everything() -> dict[str, Any]:
    """Return a status in which every field is set."""
    return reports.STATUS.as_patch() | {"ledger": codec.encode(reports.LEDGER)}


def test_status_comes_back_as_written(kubectl: Kubectl, namespace: str) -> None:
    """No part of the status or the ledger is pruned or changed."""
    create(kubectl, namespace)

    stored = report(kubectl, namespace, everything())

    assert codec.decode(stored.pop("ledger")) == reports.LEDGER
    assert Status.model_validate(stored) == reports.STATUS
    assert stored == reports.STATUS.as_patch()


def test_absent_status_is_removed(kubectl: Kubectl, namespace: str) -> None:
    """A `null` removes a field, and is accepted for an absent field."""
    create(kubectl, namespace)
    fresh = report(kubectl, namespace, Status().as_patch())

    report(kubectl, namespace, everything())
    again = report(kubectl, namespace, Status().as_patch() | {"ledger": None})

    assert Status.model_validate(again) == Status()
    assert again == fresh


def test_status_is_apart(kubectl: Kubectl, namespace: str) -> None:
    """A user who may write subscriptions cannot write the status with them."""
    create(kubectl, namespace)

    patch = json.dumps({"status": everything()})
    kubectl("patch", "ies/payments", "-n", namespace, "--type=merge", "-p", patch)

    stored = json.loads(kubectl("get", "ies/payments", "-n", namespace, "-o", "json"))
    assert stored["status"] == {"observedGeneration": -1}  # which says that the operator has not seen it


def test_columns(kubectl: Kubectl, namespace: str) -> None:
    """`kubectl get` shows the state of a subscription; the category includes it."""
    create(kubectl, namespace)
    report(kubectl, namespace, everything())

    header, row = kubectl("get", "infisical", "-n", namespace, "-o", "wide").splitlines()

    titles = [
        *("NAME", "READY", "REASON", "STREAMING", "PENDING", "MODE", "PROJECT", "KEYS"),
        *("WORKLOADS", "HELD", "FAILED", "LAST EVENT", "LAST RESTART", "AGE"),
    ]
    assert re.split(r"\s{2,}", header.strip()) == titles
    assert row.split()[:8] == ["payments", "True", "Streaming", "Unknown", "3", "Enforce", "shop", "12"]
    assert row.split()[8:10] == ["7", "payments"]
    assert len(row.split()) == len(titles) - 1, "nothing has failed"

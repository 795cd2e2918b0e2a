"""No secret value and no token leaks, at any log level, in any output."""

import json
import re

import pytest

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.faults import Ending, ResponseFault
from support.cluster_harness import ClusterHarness
from support.manifests import credentials, subscription, workload
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.cluster

CANARY = "canary-5f1c-value"
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{10,}")


def _everything_people_see(harness: ClusterHarness) -> str:
    """Return log, status, Events, annotations and metrics as one text."""
    kinds = "ies,events,deployments,replicasets,pods"
    objects = harness.kubectl("get", kinds, "-n", harness.namespace, "-o", "json", "--show-managed-fields")
    described = harness.kubectl("describe", "ies", "-n", harness.namespace)
    return "\n".join([harness.operator.log.read_text(), objects, described, harness.operator.get("/metrics")])


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_value_and_no_token_gets_out(harness: ClusterHarness, log_format: str) -> None:
    """Canaries do not leak through any feature or failure at log level debug."""
    harness.operator.command = [*harness.operator.command, "--log-format", log_format]
    wrong = credentials(harness.sandbox, clientSecret=CANARY)
    wrong["metadata"]["name"] = "wrong"
    refs = {
        "clientIdRef": {"name": "wrong", "key": "clientId"},
        "clientSecretRef": {"name": "wrong", "key": "clientSecret"},
    }
    token = {"accessTokenRef": {"name": "wrong", "key": "clientSecret"}}
    harness.apply(
        credentials(harness.sandbox),
        wrong,
        workload(),
        subscription(harness.sandbox),
        subscription(harness.sandbox, "rejected", authentication={"universalAuth": refs}),
        subscription(harness.sandbox, "forged", authentication=token),
    )
    harness.operator.start()
    harness.wait_serving()
    harness.wait_reason("Authenticated", "CredentialsRejected", "rejected")
    harness.wait_reason("Authenticated", "TokenRejected", "forged")

    harness.change(DB_PASSWORD=CANARY)
    harness.expect_restarts(1)
    _cause_trouble(harness)
    harness.change(DB_PASSWORD=f"{CANARY}-2")
    harness.expect_restarts(2)

    seen = _everything_people_see(harness)
    for planted in (CANARY, harness.sandbox.client_secret, harness.sandbox.client_id):
        assert planted not in seen
    assert not _JWT.search(seen)
    assert "DB_PASSWORD" in seen


def _cause_trouble(harness: ClusterHarness) -> None:
    """Cause failures whose responses and traces could contain secrets."""
    harness.sandbox.do_blocking(Controls.revoke_tokens)
    harness.sandbox.do_blocking(Controls.fail_requests, ResponseFault("GET /api/v?/secrets*", status=500))
    harness.sandbox.do_blocking(Controls.fail_requests, ResponseFault("POST */login", status=500))
    frame = json.dumps({"data": {"eventType": "secret:other", "payload": [{"secretValue": CANARY}]}})
    harness.sandbox.do_blocking(Controls.write_streams, f"event: x\ndata: {frame}\n\n".encode())
    harness.sandbox.do_blocking(Controls.write_streams, f"data: not json {CANARY}\n\n".encode())
    harness.sandbox.do_blocking(Controls.end_streams, Ending.RESET)


def test_log_lines_in_json_are_json(harness: ClusterHarness) -> None:
    """With --log-format json each line is one object with time, level and message."""
    harness.operator.command = [*harness.operator.command, "--log-format", "json"]
    harness.apply(credentials(harness.sandbox), subscription(harness.sandbox))
    harness.operator.start()
    harness.wait_serving()

    lines = [json.loads(line) for line in harness.operator.log.read_text().splitlines()]

    assert all({"timestamp", "level", "message"} <= line.keys() for line in lines)
    assert f"{harness.namespace}/payments" in {line.get("subscription") for line in lines}


def test_settings_come_from_the_environment_too(harness: ClusterHarness, cluster: object) -> None:
    """Each flag has a variable; several values are separated by spaces."""
    flags = OperatorProcess.for_namespace(harness.namespace, cluster.kubeconfig, harness.operator.log.parent)  # type: ignore[attr-defined]
    values = dict(zip(flags.command[4::2], flags.command[5::2], strict=True))
    values["--allowed-address"] += " https://app.infisical.com"
    harness.operator.environment = {
        f"INFISICAL_EVENTS_{flag[2:].replace('-', '_').upper()}": value for flag, value in values.items()
    }
    harness.operator.command = flags.command[:4]
    harness.operator.url = flags.url

    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox))
    harness.operator.start()
    harness.wait_serving()

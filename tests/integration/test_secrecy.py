"""No secret value and no token gets out, at any log level, in any place where people look."""

import json
import re

import pytest

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.faults import Ending, ResponseFault
from support.operator_process import Operator, Scene, credentials, subscription, workload

pytestmark = pytest.mark.cluster

CANARY = "canary-5f1c-value"
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{10,}")


def _everything_people_see(scene: Scene) -> str:
    """Log, status, Events, annotations and metrics of the scene, as one text."""
    kinds = "ies,events,deployments,replicasets,pods"
    objects = scene.kubectl("get", kinds, "-n", scene.namespace, "-o", "json", "--show-managed-fields")
    described = scene.kubectl("describe", "ies", "-n", scene.namespace)
    return "\n".join([scene.operator.log.read_text(), objects, described, scene.operator.get("/metrics")])


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_value_and_no_token_gets_out(scene: Scene, log_format: str) -> None:
    """Through every feature and many failures at log level debug, canaries stay where they were planted."""
    scene.operator.command = [*scene.operator.command, "--log-format", log_format]
    wrong = credentials(scene.sandbox, clientSecret=CANARY)
    wrong["metadata"]["name"] = "wrong"
    refs = {
        "clientIdRef": {"name": "wrong", "key": "clientId"},
        "clientSecretRef": {"name": "wrong", "key": "clientSecret"},
    }
    token = {"accessTokenRef": {"name": "wrong", "key": "clientSecret"}}
    scene.apply(
        credentials(scene.sandbox),
        wrong,
        workload(),
        subscription(scene.sandbox),
        subscription(scene.sandbox, "refused", authentication={"universalAuth": refs}),
        subscription(scene.sandbox, "forged", authentication=token),
    )
    scene.operator.start()
    scene.watching()
    scene.has_reason("Authenticated", "CredentialsRejected", "rejected")
    scene.has_reason("Authenticated", "TokenRejected", "forged")

    scene.change(DB_PASSWORD=CANARY)
    scene.restarts(1)
    _cause_trouble(scene)
    scene.change(DB_PASSWORD=f"{CANARY}-2")
    scene.restarts(2)

    seen = _everything_people_see(scene)
    for planted in (CANARY, scene.sandbox.client_secret, scene.sandbox.client_id):
        assert planted not in seen
    assert not _JWT.search(seen)
    assert "DB_PASSWORD" in seen


def _cause_trouble(scene: Scene) -> None:
    """Failures whose answers and traces could carry what must not get out."""
    scene.sandbox.do_blocking(Controls.revoke_tokens)
    scene.sandbox.do_blocking(Controls.fail_requests, ResponseFault("GET /api/v?/secrets*", status=500))
    scene.sandbox.do_blocking(Controls.fail_requests, ResponseFault("POST */login", status=500))
    frame = json.dumps({"data": {"eventType": "secret:other", "payload": [{"secretValue": CANARY}]}})
    scene.sandbox.do_blocking(Controls.write_streams, f"event: x\ndata: {frame}\n\n".encode())
    scene.sandbox.do_blocking(Controls.write_streams, f"data: not json {CANARY}\n\n".encode())
    scene.sandbox.do_blocking(Controls.end_streams, Ending.RESET)


def test_log_lines_in_json_are_json(scene: Scene) -> None:
    """With --log-format json each line is one object that names time, level and message."""
    scene.operator.command = [*scene.operator.command, "--log-format", "json"]
    scene.apply(credentials(scene.sandbox), subscription(scene.sandbox))
    scene.operator.start()
    scene.watching()

    lines = [json.loads(line) for line in scene.operator.log.read_text().splitlines()]

    assert all({"timestamp", "level", "message"} <= line.keys() for line in lines)
    assert f"{scene.namespace}/payments" in {line.get("subscription") for line in lines}


def test_settings_come_from_the_environment_too(scene: Scene, cluster: object) -> None:
    """Each flag is also a variable, repeatable ones with blanks between their values."""
    flags = Operator.serving(scene.namespace, cluster.kubeconfig, scene.operator.log.parent)  # type: ignore[attr-defined]
    values = dict(zip(flags.command[4::2], flags.command[5::2], strict=True))
    values["--allowed-address"] += " https://app.infisical.com"
    scene.operator.environment = {
        f"INFISICAL_EVENTS_{flag[2:].replace('-', '_').upper()}": value for flag, value in values.items()
    }
    scene.operator.command = flags.command[:4]
    scene.operator.url = flags.url

    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox))
    scene.operator.start()
    scene.watching()

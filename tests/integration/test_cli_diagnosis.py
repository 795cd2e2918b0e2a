"""`infisical-events doctor` and `listen` ask about a subscription of the cluster, with a user's rights."""

import json
from functools import partial
from threading import Timer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infisical_events.cli import commands as cli
from infisical_sandbox.server import Controls, ResponseFault
from support.cluster_harness import ClusterHarness
from support.manifests import credentials, subscription

pytestmark = pytest.mark.cluster


def run(cluster: Any, harness: ClusterHarness, *arguments: str) -> Result:  # noqa: ANN401 - ours or a foreign one
    """Run a command with the kubeconfig of the cluster, in the namespace of the test."""
    options = ("--kubeconfig", str(cluster.kubeconfig), "-n", harness.namespace)
    result = CliRunner().invoke(cli.main, [*arguments, *options])
    assert harness.sandbox.client_secret not in result.output
    return result


def checks(result: Result) -> dict[str, dict[str, str]]:
    """The results of `doctor -o json` by the name of the check."""
    return {each["check"]: each for each in json.loads(result.stdout)}


def test_doctor_finds_no_fault(cluster: Any, serving_harness: ClusterHarness) -> None:  # noqa: ANN401
    """An operator serves the subscription, and everything that it needs is there."""
    result = run(cluster, serving_harness, "doctor", "payments", "-o", "json")

    assert result.exit_code == 0, result.output
    found = checks(result)
    assert {"API server", "CRD", "Operator", "Workloads", "Login", "Free stream"} <= set(found)
    assert "with all" in found["CRD"]["found"]


def test_doctor_without_an_operator(cluster: Any, harness: ClusterHarness) -> None:  # noqa: ANN401
    """No operator has served the subscription, its Secret is missing, and no workload opted in."""
    harness.apply(subscription(harness.sandbox))
    result = run(cluster, harness, "doctor", "payments", "-o", "json", "--address", harness.sandbox.url)
    failed = {name for name, each in checks(result).items() if each["outcome"] == "failed"}

    assert result.exit_code == 1
    assert failed == {"Operator", "Workloads", "Login"}
    assert checks(result)["Login"]["reason"] == "SecretNotFound"


def test_doctor_of_nothing(cluster: Any, harness: ClusterHarness) -> None:  # noqa: ANN401
    """There is no subscription of this name."""
    result = run(cluster, harness, "doctor", "nobody", "-o", "json")

    assert result.exit_code == 1
    assert checks(result)["Subscription"]["reason"] == "SubscriptionNotFound"


def test_listen_with_the_credentials_of_a_subscription(cluster: Any, harness: ClusterHarness) -> None:  # noqa: ANN401
    """The spec and its Secret are read from the cluster."""
    harness.apply(credentials(harness.sandbox), subscription(harness.sandbox))
    values = {"DB_PASSWORD": "second"}
    write = partial(harness.sandbox.do_blocking, Controls.set_secrets, "prod", "/payments", values)
    timer = Timer(3.0, write)
    timer.start()
    try:
        bounds = ("--count", "1", "--timeout", "30", "-o", "json")
        asked = ("--subscription", "payments", "--address", harness.sandbox.url)
        result = run(cluster, harness, "listen", *asked, *bounds)
    finally:
        timer.join()

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["keys"] == ["DB_PASSWORD"]


def test_address_that_nobody_accepted(cluster: Any, harness: ClusterHarness) -> None:  # noqa: ANN401
    """Credentials are not sent where only the author of the subscription wants them."""
    harness.apply(credentials(harness.sandbox), subscription(harness.sandbox))
    trap = ResponseFault("POST *", status=503)
    harness.sandbox.do_blocking(Controls.fail_requests, trap)
    result = run(cluster, harness, "listen", "--subscription", "payments", "--timeout", "10")

    assert result.exit_code == 1
    assert "AddressNotAllowed" in result.stderr
    assert harness.sandbox.do_blocking(lambda controls: list(controls.faults.responses)) == [trap]

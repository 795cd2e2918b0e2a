"""`infisical-events doctor` names the fault of a local Infisical, and what to do about it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infisical_events.cli import commands as cli
from infisical_events.runtime.clock import utc_now
from infisical_sandbox.server import Controls, Options, ResponseFault, Sandbox
from infisical_sandbox.server.options import Certificate
from support import manifests
from support.sandbox_client import free_port

SECRET = "canary-client-secret-of-the-doctor"
OPTIONS = Options(client_secret=SECRET)
RULES = (
    {"subject": "secrets", "actions": ["read", "describeSecret"]},
    {
        "subject": "secret-event-subscriptions",
        "action": "subscribe-to-update-events",
        "conditions": {"secretPath": "/payments"},
    },
)
"""All secrets may be described, and events received of one folder."""
NO_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A local Infisical with one secret in prod:/payments."""
    with Sandbox.in_thread(OPTIONS) as running:
        running.do_blocking(Controls.set_secrets, "prod", "/payments", {"DB_PASSWORD": "canary-value"})
        yield running


@pytest.fixture
def manifest(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the manifest of a subscription; arguments replace fields of its spec."""

    def write(*paths: str, **spec: Any) -> Path:  # noqa: ANN401 - a spec
        conditions = [{"environmentSlug": "prod", "secretPath": path} for path in paths or ("/payments",)]
        events = [{"event": "secret:update", "conditions": each} for each in conditions]
        file = tmp_path / "subscription.yaml"
        document = manifests.subscription(sandbox)
        document["spec"] |= {"events": events} | spec
        file.write_text(yaml.safe_dump(document))
        return file

    return write


def doctor(sandbox: Sandbox, file: Path, *arguments: str, **variables: str) -> Result:
    """Run the command with the credentials of the local Infisical."""
    env = {"INFISICAL_CLIENT_ID": sandbox.client_id, "INFISICAL_CLIENT_SECRET": sandbox.client_secret}
    result = CliRunner().invoke(
        cli.main, ["doctor", "--file", str(file), *arguments], env=NO_PROXY | env | variables
    )
    assert SECRET not in result.output
    assert "canary-value" not in result.output
    return result


def fault_of(result: Result, code: int = 1) -> dict[str, str]:
    """The one check that failed."""
    assert result.exit_code == code, result.output
    (fault,) = [each for each in json.loads(result.stdout) if each["outcome"] == "failed"]
    return dict(fault)


def assert_fault(result: Result, check: str, reason: str, remedy: str, code: int = 1) -> None:
    """One check failed, for this reason, and the advice has these words."""
    fault = fault_of(result, code)
    assert (fault["check"], fault["reason"]) == (check, reason)
    assert remedy in fault["remedy"]


def test_no_fault(sandbox: Sandbox, manifest: Callable[..., Path], eventually: Callable[..., Any]) -> None:
    """All checks pass, one stream was opened, and it is closed again."""
    result = doctor(sandbox, manifest())

    assert result.exit_code == 0, result.output
    assert "No fault found." in result.output
    assert "✗" not in result.output
    eventually(lambda: sandbox.do_blocking(Controls.count_streams) == 0, seconds=10)


def test_unreachable_port(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """Nothing listens: exit code 3, and the rest is skipped."""
    result = doctor(sandbox, manifest(address=f"http://127.0.0.1:{free_port()}"), "-o", "json")

    assert_fault(result, "TCP", "Unreachable", "another network view", code=3)
    login = next(each for each in json.loads(result.stdout) if each["check"] == "Login")
    assert (login["outcome"], login["found"]) == ("skipped", "TCP failed")


def test_name_not_resolved(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """The host of the address does not exist."""
    result = doctor(sandbox, manifest(address="http://infisical.invalid"), "-o", "json")

    assert_fault(result, "DNS", "NameNotResolved", "Check the host in the address", code=3)


def _names(*, is_ours: bool) -> list[x509.GeneralName]:
    """The names in a certificate: that of the local Infisical, or another one."""
    return [x509.IPAddress(ip_address("127.0.0.1")) if is_ours else x509.DNSName("stranger.example")]


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[..., Certificate]:
    """A function that makes a self-signed certificate and its key."""

    def make(days: int = 1) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
        end = utc_now() + timedelta(days=days)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(7)
            .not_valid_before(end - timedelta(days=30))
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName(_names(is_ours=days < 0)), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        files = Certificate(tmp_path / "server.crt", tmp_path / "server.key")
        files.certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    return make


@pytest.mark.parametrize(
    ("days", "is_trusted", "remedy"),
    [
        (1, False, "signed by a CA that is not trusted"),
        (1, True, "for another host"),
        (-1, True, "has expired"),
    ],
)
def test_tls(
    manifest: Callable[..., Path],
    certificate: Callable[..., Certificate],
    days: int,
    remedy: str,
    *,
    is_trusted: bool,
) -> None:
    """An unknown CA, a wrong host and an expired certificate are told apart."""
    files = certificate(days)
    trust = {"SSL_CERT_FILE": str(files.certificate)} if is_trusted else {}
    with Sandbox.in_thread(replace(OPTIONS, tls=files)) as sandbox:
        result = doctor(sandbox, manifest(address=sandbox.url), "-o", "json", **trust)

    assert_fault(result, "TLS", "TLSFailed", remedy)


def test_no_tls_at_this_port(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """A port for plain http answers with something that is no TLS."""
    result = doctor(sandbox, manifest(address=sandbox.url.replace("http:", "https:")), "-o", "json")

    assert_fault(result, "TLS", "TLSFailed", "does not speak TLS")


def test_wrong_client_secret(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """The login is rejected; it is tried once, so that the identity is not locked out by this."""
    result = doctor(sandbox, manifest(), "-o", "json", INFISICAL_CLIENT_SECRET="wrong")

    assert_fault(result, "Login", "CredentialsRejected", "Check the client id and secret")


def test_identity_locked_out(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """After three rejected logins the right credentials are rejected as well, and the advice names that."""
    for _ in range(3):
        doctor(sandbox, manifest(), INFISICAL_CLIENT_SECRET="wrong")
    result = doctor(sandbox, manifest(), "-o", "json")

    assert_fault(result, "Login", "CredentialsRejected", "is not locked out")
    assert "locked" in fault_of(result)["found"]


def test_token_revoked(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """A token that was made by hand is tried, because there is no login."""
    token = sandbox.do_blocking(Controls.mint_token)
    sandbox.do_blocking(Controls.revoke_tokens)
    result = doctor(sandbox, manifest(), "-o", "json", INFISICAL_TOKEN=token)

    assert_fault(result, "Login", "TokenRejected", "Replace the token")
    assert token not in result.output


def test_no_credentials(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """Without credentials the variables are named."""
    result = doctor(sandbox, manifest(), "-o", "json", INFISICAL_CLIENT_SECRET="")

    assert "INFISICAL_CLIENT_SECRET" in fault_of(result)["found"]


def test_project_not_found(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """The id of the project is none."""
    file = manifest(projectId="00000000-0000-0000-0000-000000000000")

    assert_fault(doctor(sandbox, file, "-o", "json"), "Project", "ProjectNotFound", "Check projectId")


def test_no_member_of_the_project(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """The identity was removed from the project."""
    sandbox.do_blocking(Controls.expel)

    assert_fault(doctor(sandbox, manifest(), "-o", "json"), "Project", "PermissionDenied", "access control")


def test_environment_not_found(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """The slugs that exist are named."""
    where = {"environmentSlug": "production", "secretPath": "/payments"}
    file = manifest(events=[{"event": "secret:update", "conditions": where}])
    result = doctor(sandbox, file, "-o", "json")

    assert_fault(result, "Environment production", "EnvironmentNotFound", "environmentSlug")
    assert "dev, prod, staging" in fault_of(result)["found"]


def test_folder_not_found(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """Of two entries, that with the missing folder fails."""
    result = doctor(sandbox, manifest("/payments", "/paymnets"), "-o", "json")

    assert_fault(result, "Secrets prod:/paymnets", "FolderNotFound", "secretPath")


def test_event_permission_denied_for_one_entry(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """The entry without the Secret Events permission is named."""
    sandbox.do_blocking(Controls.create_folder, "prod", "/other")
    sandbox.do_blocking(Controls.permit, RULES)
    result = doctor(sandbox, manifest("/other", "/payments"), "-o", "json")
    failed = {each["check"]: each for each in json.loads(result.stdout) if each["outcome"] == "failed"}

    assert result.exit_code == 1
    assert set(failed) == {
        "Secret Events permission",
        "Secret Events permission: secret:update in prod:/other",
    }
    assert {each["reason"] for each in failed.values()} == {"PermissionDenied"}
    assert all("Secret Events" in each["remedy"] for each in failed.values())


def test_plan(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """The plan has no Event Subscriptions."""
    sandbox.do_blocking(_set_fault, "plan_missing", value=True)

    result = doctor(sandbox, manifest(), "-o", "json")

    assert_fault(result, "Plan", "PlanLacksEventSubscriptions", "polling")


def test_stream_limit(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """All streams of the project are in use."""
    sandbox.do_blocking(_set_fault, "connection_limit", value=0)

    result = doctor(sandbox, manifest(), "-o", "json")

    assert_fault(result, "Free stream", "ConnectionLimitReached", "Merge or remove subscriptions")


@pytest.mark.parametrize(
    ("route", "check"),
    [
        ("POST /api/v1/auth/*", "Login"),
        ("GET /api/v1/projects/*", "Project"),
        ("GET /api/v4/secrets*", "Secrets prod:/payments"),
        ("POST /api/v1/events/*", "Secret Events permission"),
    ],
)
def test_server_error(sandbox: Sandbox, manifest: Callable[..., Path], route: str, check: str) -> None:
    """The server fails, at whatever step."""
    sandbox.do_blocking(Controls.fail_requests, ResponseFault(route, count=5, status=503))

    assert_fault(
        doctor(sandbox, manifest(), "-o", "json"), check, "ServerError", "log of the Infisical server"
    )


def test_invalid_spec(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """A spec that the operator would not serve is the fault, in the operator's words."""
    result = doctor(sandbox, manifest(cooldownSeconds=-1), "-o", "json")

    assert_fault(result, "Spec", "InvalidSpec", "Change the field")
    assert "spec.cooldownSeconds" in fault_of(result)["found"]


def test_proxy_is_not_probed(sandbox: Sandbox, manifest: Callable[..., Path]) -> None:
    """With a proxy, its connection is not tested here, and the error of the request is reported."""
    proxy = f"http://127.0.0.1:{free_port()}"
    result = doctor(sandbox, manifest(address="http://infisical.invalid"), "-o", "json", http_proxy=proxy)

    assert_fault(result, "Login", "Unreachable", "proxies", code=3)


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_formats(sandbox: Sandbox, manifest: Callable[..., Path], output: str) -> None:
    """The same results for people and for programs."""
    result = doctor(sandbox, manifest("/paymnets"), "-o", output)

    assert result.exit_code == 1
    assert "FolderNotFound" in result.output


def _set_fault(controls: Controls, name: str, *, value: object) -> None:
    setattr(controls.faults, name, value)

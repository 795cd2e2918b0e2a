"""The command line and the environment become settings, and mistakes are reported before anything starts."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest
from click.testing import CliRunner, Result

from infisical_events.cli import commands as cli
from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED
from infisical_events.core.egress.network_policy import parse_network
from infisical_events.kube.kubeconfig import ClusterAccess
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.app import bootstrap, logging_setup
from infisical_events.runtime.app.http_server import BindError
from infisical_events.runtime.app.settings import Settings

OPTIONS = (
    "allowed-address",
    "allowed-network",
    "context",
    "default-address",
    "http-address",
    "identity",
    "kubeconfig",
    "lease-duration",
    "lease-name",
    "lease-namespace",
    "log-format",
    "log-level",
    "namespace",
    "shards",
)


class Started:
    """What the operator would have been started with."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.logs: tuple[Any, ...] = ()
        self.error: Exception | None = None

    async def run(self, settings: Settings) -> None:
        """In the place of `bootstrap.run`."""
        self.settings = settings
        if self.error:
            raise self.error

    def configure(self, *arguments: object) -> None:
        """In the place of `logging_setup.configure`."""
        self.logs = arguments


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """An operator that only notes how it is started."""
    started = Started()
    monkeypatch.setattr(bootstrap, "run", started.run)
    monkeypatch.setattr(logging_setup, "configure", started.configure)
    return started


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run the command line."""
    return CliRunner().invoke(cli.main, arguments, env=env)


def test_defaults(started: Started) -> None:
    """Without options all namespaces are served, tokens go to Infisical Cloud only, and the port is local."""
    assert invoke("run").exit_code == 0
    assert started.settings is not None
    assert re.fullmatch(r"[-a-z0-9]+-[0-9a-f]{6}", started.settings.identity)
    assert replace(started.settings, identity="replica") == Settings(
        access=ClusterAccess(None, None),
        namespaces=(),
        default_address="https://app.infisical.com",
        allowed_addresses=DEFAULT_ALLOWED,
        http_address="127.0.0.1:8080",
    )
    assert started.logs == (logging_setup.LogFormat.TEXT, "info")


WANTED = Settings(
    access=ClusterAccess("/k", "c"),
    namespaces=("a", "b"),
    default_address="https://i.example",
    allowed_addresses=("https://i.example", "https://*.example"),
    allowed_networks=(parse_network("10.96.0.0/12"), parse_network("fd00::/8")),
    http_address="[::]:9090",
    shards=4,
    lease_namespace="ops",
    lease_name="events",
    lease_duration=30,
    identity="pod-1.example",
)


def test_options(started: Started) -> None:
    """Every option reaches the settings; those for several values are repeated."""
    arguments = "--kubeconfig /k --context c --namespace a --namespace b --default-address https://i.example"
    arguments += " --allowed-address https://i.example --allowed-address https://*.example"
    arguments += " --allowed-network 10.96.0.0/12 --allowed-network fd00::/8"
    arguments += " --http-address [::]:9090 --log-format json --log-level debug --shards 4"
    arguments += " --lease-namespace ops --lease-name events --lease-duration 30 --identity pod-1.example"
    assert invoke("run", *arguments.split()).exit_code == 0
    assert started.settings == WANTED
    assert WANTED.http_endpoint == ("::", 9090)
    assert started.logs == (logging_setup.LogFormat.JSON, "debug")


def test_environment(started: Started) -> None:
    """Every option can be given as a variable; several values are separated by blanks."""
    env = {
        "KUBECONFIG": "/k",
        "CONTEXT": "c",
        "NAMESPACE": "a b",
        "DEFAULT_ADDRESS": "https://i.example",
        "ALLOWED_ADDRESS": "https://i.example https://*.example",
        "ALLOWED_NETWORK": "10.96.0.0/12 fd00::/8",
        "HTTP_ADDRESS": "[::]:9090",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "debug",
        "SHARDS": "4",
        "LEASE_NAMESPACE": "ops",
        "LEASE_NAME": "events",
        "LEASE_DURATION": "30",
        "IDENTITY": "pod-1.example",
    }
    result = invoke("run", env={f"INFISICAL_EVENTS_{name}": value for name, value in env.items()})
    assert result.exit_code == 0
    assert started.settings == WANTED
    assert started.logs == (logging_setup.LogFormat.JSON, "debug")


def test_option_over_variable(started: Started) -> None:
    """An option wins over its variable."""
    invoke("run", "--http-address", "a:1", env={"INFISICAL_EVENTS_HTTP_ADDRESS": "b:2"})
    assert started.settings is not None
    assert started.settings.http_endpoint == ("a", 1)


@pytest.mark.parametrize("option", OPTIONS)
def test_help(option: str) -> None:
    """The help names every option and its variable."""
    text = invoke("run", "--help").output
    assert f"--{option}" in text
    assert f"INFISICAL_EVENTS_{option.replace('-', '_').upper()}" in text


def test_version() -> None:
    """The version is printed."""
    assert "version" in invoke("--version").output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--namespace", ""),
        ("--namespace", "team-*"),
        ("--namespace", "Team"),
        ("--namespace", "a.b"),
        ("--namespace", "a" * 64),
        ("--allowed-address", "infisical.example"),
        ("--allowed-network", "10.0.0.1/8"),
        ("--allowed-address", "*"),
        ("--allowed-address", "http*://infisical.example"),
        ("--allowed-address", "https://"),
        ("--allowed-address", "https://infisical.example/"),
        ("--default-address", "infisical.example"),
        ("--default-address", "https://infisical.example/api"),
        ("--default-address", "https://infisical.example"),
        ("--default-address", ""),
        ("--http-address", ""),
        ("--http-address", "8080"),
        ("--http-address", "::1:8080"),
        ("--http-address", "[::1]8080"),
        ("--http-address", "[local]:8080"),
        ("--http-address", "http://localhost:8080"),
        ("--http-address", "localhost"),
        ("--http-address", "localhost:http"),
        ("--http-address", "localhost:-1"),
        ("--http-address", "localhost:65536"),
        ("--shards", "0"),
        ("--shards", "65"),
        ("--lease-namespace", "Team"),
        ("--lease-name", "a.b"),
        ("--lease-duration", "2"),
        ("--identity", "pod_1"),
        ("--identity", "a" * 171),
        ("--log-level", "loud"),
        ("--log-format", "xml"),
        ("--unheard-of",),
    ],
)
def test_mistakes(started: Started, arguments: tuple[str, ...]) -> None:
    """A mistake is a usage error of its option, and nothing is started."""
    result = invoke("run", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output
    assert started.settings is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (no such file or directory)"),
        ("no certificate", "has no certificate in PEM format"),
        ("", "has no certificate in PEM format"),
    ],
)
def test_no_authorities(started: Started, tmp_path: Path, content: str | None, message: str) -> None:
    """An unusable file of certificate authorities is reported with its variable before the start."""
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    result = invoke("run", env={"SSL_CERT_FILE": str(file)})
    assert result.exit_code == 2
    assert f"SSL_CERT_FILE={file} {message}" in result.output
    assert started.settings is None


def test_no_folder_of_authorities(started: Started, tmp_path: Path) -> None:
    """So is a folder that is not there."""
    result = invoke("run", env={"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(tmp_path / "certs")})
    assert result.exit_code == 2
    assert f"SSL_CERT_DIR={tmp_path / 'certs'} is not a directory" in result.output
    assert started.settings is None


def test_authorities(started: Started) -> None:
    """A file in PEM form is trusted."""
    assert invoke("run", env={"SSL_CERT_FILE": certifi.where()}).exit_code == 0
    assert started.settings is not None


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        (":8080", ("", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),  # noqa: S104 - read, not served
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_http_address(started: Started, given: str, endpoint: tuple[str, int]) -> None:
    """Where to serve is a host and a port; without a host it is everywhere."""
    assert invoke("run", "--http-address", given).exit_code == 0
    assert started.settings is not None
    assert started.settings.http_endpoint == endpoint


def test_own_infisical_alone(started: Started) -> None:
    """With only a private Infisical allowed no default address is required: subscriptions may set it."""
    assert invoke("run", "--allowed-address", "https://infisical.example").exit_code == 0
    assert started.settings is not None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KubernetesError("no usable cluster configuration"), "no usable cluster configuration"),
        (BindError("Cannot listen on 127.0.0.1:8080"), "Cannot listen on 127.0.0.1:8080"),
    ],
)
def test_cannot_start(started: Started, error: Exception, message: str) -> None:
    """An error that prevents the start is reported in one line, without a traceback."""
    started.error = error
    result = invoke("run")
    assert (result.exit_code, result.output) == (1, f"Error: {message}\n")

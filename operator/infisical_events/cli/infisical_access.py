"""The Infisical that a command asks: what is given by options, a file or the cluster, and its session.

Credentials come from the variables INFISICAL_*, from files, or from the Secret of a subscription: never from
the value of an option, which a shell would keep in its history.
"""

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click
import yaml

from infisical_events.api.resources import KIND
from infisical_events.api.specs import EventType, Spec
from infisical_events.cli.cluster_access import ClusterOptions
from infisical_events.core.credentials import (
    AccessToken,
    Credentials,
    CredentialsSource,
    UniversalCredentials,
)
from infisical_events.core.diagnosis.operator_status import has_logged_in
from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED, EgressPolicy, origin_of
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.core.validation.serving_spec import NotServable, ServingSpec, serving_spec_of
from infisical_events.infisical.infisical_errors import LoginError
from infisical_events.infisical.session import Session, SessionDependencies
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.infisical.transport.tls import TrustError, check_trust
from infisical_events.kube.credential_reader import CredentialReader
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.subscription_client import SubscriptionClient
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.subscription.login_credentials import credentials_source

_NO_CREDENTIALS = (
    "No credentials: set INFISICAL_TOKEN, or INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET, or give "
    "--token-file or --client-secret-file."
)
_PLACEHOLDER = {"accessTokenRef": {"name": "given", "key": "token"}}
"""The authentication of a spec that is made of options; nothing reads it."""


@dataclass(frozen=True, slots=True)
class GivenCredentials:
    """Credentials of the environment or of files; empty texts where none are given."""

    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    are_from_files: bool = False
    """Whether an option names them, so that they replace those of a subscription."""

    @property
    def value(self) -> Credentials | None:
        """The credentials; a token comes first; None if they are not complete."""
        if self.token:
            return AccessToken(self.token)
        if self.client_id and self.client_secret:
            return UniversalCredentials(self.client_id, self.client_secret)
        return None

    async def read(self) -> Credentials:
        """The source of these credentials.

        Raises:
            LoginError: there are none.
        """
        if self.value is None:
            raise LoginError(Reason.SECRET_NOT_FOUND, _NO_CREDENTIALS)
        return self.value


@dataclass(frozen=True, slots=True)
class InfisicalOptions:
    """The options of a command that asks Infisical."""

    file: str | None
    address: str | None
    project: str | None
    environments: tuple[str, ...]
    path: str
    events: tuple[str, ...]
    credentials: GivenCredentials

    @property
    def is_given(self) -> bool:
        """Whether they say what to ask, without a subscription of the cluster."""
        return bool(self.file or self.project)

    def raw_spec(self) -> dict[str, Any]:
        """The spec of the file, or the one that the options describe.

        Raises:
            click.UsageError: the file has none, or options are missing.
        """
        if self.file:
            return _spec_in(Path(self.file))
        if not (self.project and self.environments):
            raise click.UsageError("give --file, a subscription, or --project-id and --env")
        return {
            "authentication": _PLACEHOLDER,
            "projectId": self.project,
            "events": [
                {"event": event, "conditions": {"environmentSlug": environment, "secretPath": self.path}}
                for environment in self.environments
                for event in self.events or [each.value for each in EventType]
            ],
        }


def infisical_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, and pass them as one argument `infisical`."""

    @click.option(
        "-f",
        "--file",
        type=click.Path(dir_okay=False, exists=True),
        help="Manifest of a subscription. Its credentials are not read: see INFISICAL_TOKEN below.",
    )
    @click.option("--address", help="Address of Infisical if the spec has none. Default: Infisical Cloud.")
    @click.option("--project-id", "project", help="Project, without a file or a subscription.")
    @click.option("--env", "environments", multiple=True, help="Slug of an environment; repeatable.")
    @click.option("--path", default="/**", show_default=True, help="Folder, or a glob.")
    @click.option(
        "--event",
        "events",
        multiple=True,
        type=click.Choice([each.value for each in EventType]),
        help="Type of event; repeatable. Default: all.",
    )
    @click.option(
        "--client-id", envvar="INFISICAL_CLIENT_ID", show_envvar=True, default="", help="Client id."
    )
    @click.option(
        "--client-secret-file",
        type=click.Path(dir_okay=False),
        help="File with the client secret. Default: the value of INFISICAL_CLIENT_SECRET.",
    )
    @click.option(
        "--token-file",
        type=click.Path(dir_okay=False),
        help="File with an access token. Default: the value of INFISICAL_TOKEN.",
    )
    @wraps(command)
    def with_options(
        client_id: str,
        client_secret_file: str | None,
        token_file: str | None,
        **rest: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - click's own
        names = ("file", "address", "project", "environments", "path", "events")
        given = _given_credentials(client_id, client_secret_file, token_file)
        _check_authorities()
        options = InfisicalOptions(**{name: rest.pop(name) for name in names}, credentials=given)
        return command(infisical=options, **rest)

    return with_options


def _check_authorities() -> None:
    """Raises click.UsageError for an invalid SSL_CERT_FILE or SSL_CERT_DIR."""
    try:
        check_trust(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))
    except TrustError as error:
        raise click.UsageError(str(error)) from None


def _given_credentials(
    client_id: str, client_secret_file: str | None, token_file: str | None
) -> GivenCredentials:
    """Credentials of files before those of variables; a file for one method excludes the other's variable."""
    if token_file:
        return GivenCredentials(token=_text_of(token_file), are_from_files=True)
    if client_secret_file:
        return GivenCredentials(client_id, _text_of(client_secret_file), are_from_files=True)
    return GivenCredentials(client_id, _variable("CLIENT_SECRET"), _variable("TOKEN"))


def _variable(name: str) -> str:
    return os.environ.get(f"INFISICAL_{name}", "").strip()


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} cannot be read: {type(error).__name__}") from None


def _spec_in(file: Path) -> dict[str, Any]:
    """The spec of the first subscription in a file; raises click.UsageError."""
    try:
        documents = list(yaml.safe_load_all(file.read_text()))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise click.UsageError(f"{file} is no YAML: {type(error).__name__}") from None
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == KIND:
            spec = document.get("spec")
            return spec if isinstance(spec, dict) else {}
    raise click.UsageError(f"{file} has no {KIND}")


@dataclass(frozen=True, slots=True)
class Subject:
    """A subscription with what it takes to ask Infisical as it does.

    `raw_spec` is the spec as it is stored or written; `stored` is None without a cluster.
    """

    namespace: str
    name: str
    raw_spec: dict[str, Any]
    given: GivenCredentials
    given_address: str | None = None
    kube: KubeApi | None = None
    stored: StoredSubscription | None = None

    def serving(self) -> ServingSpec | NotServable:
        """The spec as the operator would serve it, with its address as the only allowed one.

        A suspended one is served as well: nobody asks about it in order to hear that.
        """
        raw, default = {**self.raw_spec, "suspend": False}, self.given_address or DEFAULT_ALLOWED[0]
        try:
            origin = origin_of(str(raw.get("address") or default))
        except ValueError:
            origin = ""  # the operator's own check says what is wrong
        return serving_spec_of(raw, default, EgressPolicy((origin,)))

    def credentials(self, serving: ServingSpec) -> CredentialsSource:
        """A reader of the credentials: of the subscription's own, unless others are given.

        Who may write a subscription need not be allowed to read its Secret, and chooses the address. So the
        reader raises LoginError for an address that neither the user nor an operator has accepted.
        """
        if not self._accepts(serving.address):
            return _refusing(serving.address)
        if self.kube is None or self.given.are_from_files:
            return self.given.read
        reader = CredentialReader(self.kube)
        return credentials_source(reader, self.namespace, serving.spec, serving.address)

    def _accepts(self, origin: str) -> bool:
        """Whether credentials may be sent there: Infisical Cloud, `--address`, or an operator's choice."""
        if self.stored is None or origin in DEFAULT_ALLOWED:
            return True
        try:
            is_named = self.given_address is not None and origin_of(self.given_address) == origin
        except ValueError:
            is_named = False
        return is_named or has_logged_in(self.stored)

    @property
    def has_static_token(self) -> bool:
        """Whether there is no login, because a token was made by hand."""
        if self.kube is None or self.given.are_from_files:
            return isinstance(self.given.value, AccessToken)
        return "accessTokenRef" in (self.raw_spec.get("authentication") or {})


def _refusing(origin: str) -> CredentialsSource:
    async def refuse() -> Credentials:
        sentence = f"No operator has logged in at {origin} for this spec: confirm it with --address {origin}."
        raise LoginError(Reason.ADDRESS_NOT_ALLOWED, sentence)

    return refuse


def subject_of_options(options: InfisicalOptions) -> Subject:
    """What a file or options describe; raises click.UsageError."""
    return Subject("", options.file or "", options.raw_spec(), options.credentials, options.address)


async def subject_in_cluster(
    kube: KubeApi, cluster: ClusterOptions, name: str, options: InfisicalOptions
) -> Subject:
    """A subscription of the cluster; raises KubernetesError."""
    namespace = cluster.namespace()
    stored = await SubscriptionClient(kube).get(SubscriptionKey(namespace, name, ""))
    return Subject(namespace, name, stored.spec, options.credentials, options.address, kube, stored)


@asynccontextmanager
async def opened_subject(
    cluster: ClusterOptions, name: str | None, options: InfisicalOptions
) -> AsyncIterator[Subject]:
    """The subscription of this name, or what the options describe.

    Raises:
        KubernetesError: the cluster cannot be asked, or has no such subscription.
        click.UsageError: options are missing.
    """
    if name is None:
        yield subject_of_options(options)
        return
    async with cluster.open() as kube:
        yield await subject_in_cluster(kube, cluster, name, options)


@dataclass(frozen=True, slots=True)
class SessionOpener:
    """Opens sessions that share one login, with the operator's own client. No value is ever read."""

    address: str
    credentials: CredentialsSource
    logins: SharedLogins = field(default_factory=SharedLogins)

    def open(self, spec: Spec) -> AbstractAsyncContextManager[Session]:
        """A session for a spec; leaving the context closes its connections."""
        shared = SessionDependencies(self.logins, _unused_key, EgressPolicy((self.address,)))
        return Session.opened(self.address, spec, self.credentials, utc_now, shared)


async def _unused_key() -> DigestKey:
    """Snapshots are read without values, so that nothing is digested."""
    return DigestKey(secrets.token_bytes(32))

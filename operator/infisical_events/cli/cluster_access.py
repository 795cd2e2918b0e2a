"""The cluster of a kubeconfig, for the commands for people: options, clients and errors.

Everything is done with the user's rights: a request that is not allowed is reported with what it was for.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from infisical_events.cli.exit_codes import ExitCode
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubeconfig import ClusterAccess, namespace_of_context, open_kube_api
from infisical_events.kube.kubernetes_errors import KubernetesError

T = TypeVar("T")

_SECONDS = 20.0
"""The time-out of one request."""

_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """`--kubeconfig`, `--context` and `--namespace`; an empty namespace is that of the context."""

    access: ClusterAccess
    given_namespace: str

    def namespace(self) -> str:
        """The namespace to work in.

        Raises:
            KubernetesError: there is no usable kubeconfig.
        """
        return self.given_namespace or namespace_of_context(self.access)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[KubeApi]:
        """The API server; raises KubernetesError."""
        async with open_kube_api(self.access, "infisical-events-cli", _SECONDS, _CONNECTIONS) as kube:
            yield kube


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, and pass them as one argument `cluster`."""

    @click.option(
        "--kubeconfig",
        type=click.Path(dir_okay=False),
        help="Kubeconfig file. Default: $KUBECONFIG or ~/.kube/config.",
    )
    @click.option(
        "--context", "context_name", help="Context of the kubeconfig. Default: its current context."
    )
    @click.option("-n", "--namespace", default="", help="Namespace. Default: that of the context.")
    @wraps(command)
    def with_options(kubeconfig: str | None, context_name: str | None, namespace: str, **rest: Any) -> Any:  # noqa: ANN401 - click's own
        return command(cluster=ClusterOptions(ClusterAccess(kubeconfig, context_name), namespace), **rest)

    return with_options


def run_async(command: Callable[..., Coroutine[Any, Any, ExitCode]]) -> Callable[..., None]:
    """A command that returns its exit code; a cluster that cannot be asked is exit code 3 and a sentence."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:  # noqa: ANN401 - click's own
        logging.getLogger("infisical_events").addHandler(logging.NullHandler())
        logging.getLogger("infisical_events").propagate = False  # what is missing is in the output
        try:
            code = asyncio.run(command(*args, **options))
        except KeyboardInterrupt:
            code = ExitCode.OK
        except KubernetesError as error:
            click.echo(f"Error: {error}", err=True)
            code = ExitCode.UNANSWERED
        sys.exit(code)

    return run


async def or_message(request: Awaitable[T], default: T) -> tuple[T, str]:
    """The response, or a default with the API server's words: one missing right hides no other answer."""
    try:
        return await request, ""
    except KubernetesError as error:
        return default, str(error)

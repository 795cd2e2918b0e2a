"""What a login needs is read at the moment of the login, and what is missing is said in a sentence."""

from typing import Any

import pytest

from infisical_events.api.specs import Spec, parse_spec
from infisical_events.core.credentials import AccessToken, KubernetesCredentials, UniversalCredentials
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import LoginError
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError
from infisical_events.kube.protected_objects import ProtectedObjectError
from infisical_events.runtime.subscription.login_credentials import credentials_source
from support.fake_cluster import FakeCluster

ADDRESS = "https://infisical.example"
UNIVERSAL = {
    "universalAuth": {
        "clientIdRef": {"name": "login", "key": "id"},
        "clientSecretRef": {"name": "login", "key": "secret"},
    }
}
KUBERNETES = {
    "kubernetesAuth": {"identityId": "identity", "serviceAccountName": "robot", "audiences": ["infisical"]}
}
TOKEN = {"accessTokenRef": {"name": "login", "key": "token"}}
METHODS = pytest.mark.parametrize("authentication", [UNIVERSAL, KUBERNETES, TOKEN])


def spec(authentication: dict[str, Any]) -> Spec:
    """A spec with one way to log in."""
    events = [{"event": "secret:update", "conditions": {"environmentSlug": "prod"}}]
    return parse_spec({"projectId": "p", "events": events, "authentication": authentication})


@pytest.fixture
def cluster() -> FakeCluster:
    """A cluster with all that the three methods need, and a Secret of the same name next door."""
    cluster = FakeCluster()
    cluster.put_secret("team", "login", {"id": "client", "secret": "s3cret\n", "token": "t0ken"})
    cluster.put_secret("other", "login", {"id": "wrong", "secret": "wrong", "token": "wrong"})
    cluster.put_account("team", "robot", "jwt")
    return cluster


@pytest.mark.parametrize(
    ("authentication", "credentials"),
    [
        (UNIVERSAL, UniversalCredentials("client", "s3cret")),
        (KUBERNETES, KubernetesCredentials("identity", "team/robot", "jwt+infisical", ("infisical",))),
        (TOKEN, AccessToken("t0ken")),
    ],
)
async def test_read(cluster: FakeCluster, authentication: dict[str, Any], credentials: object) -> None:
    """Each method reads what it needs in the subscription's own namespace."""
    assert await credentials_source(cluster, "team", spec(authentication), ADDRESS)() == credentials


async def test_audience(cluster: FakeCluster) -> None:
    """A token for which nothing is named is for Infisical, and not for the API server."""
    robot = {"identityId": "identity", "serviceAccountName": "robot"}
    credentials = await credentials_source(cluster, "team", spec({"kubernetesAuth": robot}), ADDRESS)()
    assert credentials == KubernetesCredentials("identity", "team/robot", f"jwt+{ADDRESS}", (ADDRESS,))


async def test_rotated(cluster: FakeCluster) -> None:
    """A Secret that was changed is what the next login uses."""
    read = credentials_source(cluster, "team", spec(TOKEN), ADDRESS)
    await read()
    cluster.put_secret("team", "login", {"token": "n3xt"})
    assert await read() == AccessToken("n3xt")


async def test_no_right_to_tokens(cluster: FakeCluster) -> None:
    """Where the chart grants no tokens its value is named; the operator's own is another matter."""
    read = credentials_source(cluster, "team", spec(KUBERNETES), ADDRESS)
    cluster.fail("service_account_token", ForbiddenError("serviceaccounts/token is forbidden"))
    with pytest.raises(LoginError, match=r"rbac\.serviceAccountTokens.*is forbidden") as caught:
        await read()
    assert caught.value.reason is Reason.KUBERNETES_API_ERROR

    cluster.fail("service_account_token", ProtectedObjectError("it is the operator's own"))
    with pytest.raises(
        LoginError, match=r"^Cannot get a token for ServiceAccount robot: it is the operator's own\.$"
    ):
        await read()


@METHODS
async def test_nothing_there(authentication: dict[str, Any]) -> None:
    """A Secret or a ServiceAccount that does not exist is named together with its namespace."""
    with pytest.raises(
        LoginError, match=r"no (Secret login|ServiceAccount robot) in namespace team"
    ) as caught:
        await credentials_source(FakeCluster(), "team", spec(authentication), ADDRESS)()
    assert caught.value.reason in {Reason.SECRET_NOT_FOUND, Reason.SERVICE_ACCOUNT_NOT_FOUND}


@pytest.mark.parametrize("values", [{}, {"token": ""}, {"token": " \n"}])
async def test_empty(cluster: FakeCluster, values: dict[str, str]) -> None:
    """A key that is missing or blank is named."""
    cluster.put_secret("team", "login", values)
    with pytest.raises(LoginError, match="secret/login has no text under key token") as caught:
        await credentials_source(cluster, "team", spec(TOKEN), ADDRESS)()
    assert caught.value.reason is Reason.SECRET_NOT_FOUND


@METHODS
@pytest.mark.parametrize("error", [ForbiddenError("RBAC says no"), KubernetesError("away")])
async def test_refused(cluster: FakeCluster, authentication: dict[str, Any], error: KubernetesError) -> None:
    """When the API server refuses, its own words are passed on."""
    cluster.fail("secret_value", error)
    cluster.fail("service_account_token", error)
    with pytest.raises(LoginError, match=str(error)) as caught:
        await credentials_source(cluster, "team", spec(authentication), ADDRESS)()
    assert caught.value.reason is Reason.KUBERNETES_API_ERROR


@METHODS
async def test_never_shown(cluster: FakeCluster, authentication: dict[str, Any]) -> None:
    """Credentials that get into a log by mistake show no secret part."""
    told = repr(await credentials_source(cluster, "team", spec(authentication), ADDRESS)())
    assert not any(secret in told for secret in ("s3cret", "jwt", "t0ken"))

"""Something in between answers instead of Infisical: a mesh, a firewall, a login page, a proxy."""

import asyncio

import httpx
import pytest

from support.builders import an_entry
from support.http_infisical import HttpHarness, Proxy, error
from support.virtual_time import in_virtual_time

LISTS = "/api/v4/secrets"
EVERYTHING = "/api/"

HTML = {"Content-Type": "text/html; charset=utf-8"}
LOGIN_PAGE = b"<html><head><title>Sign in to Corp</title></head><body>state=canary-page-token</body></html>"

ODD = {
    "mesh": httpx.Response(403, text="RBAC: access denied"),
    "login page 403": httpx.Response(403, headers=HTML, content=LOGIN_PAGE),
    "gateway": httpx.Response(403, json={"message": "Forbidden"}),
    "framework": httpx.Response(403, json={"statusCode": 403, "error": "Forbidden", "message": "no"}),
    "proxy 401": httpx.Response(401, text="Proxy authentication is required"),
    "proxy 404": httpx.Response(404, text="default backend - 404"),
    "redirect": httpx.Response(302, headers={"Location": "https://sso.example.com/login?token=canary"}),
    "login page 200": httpx.Response(200, headers=HTML, content=LOGIN_PAGE),
    "empty 200": httpx.Response(200, content=b""),
    "no content": httpx.Response(204),
    "another API": httpx.Response(200, json={"ok": True}),
    "bad request page": httpx.Response(400, headers=HTML, content=b"<title>Bad plan</title>"),
}


def answering(response: httpx.Response, path: str, until: float) -> Proxy:
    """A proxy that answers requests below this path, until a moment of the loop's clock."""

    def proxy(request: httpx.Request) -> httpx.Response | None:
        is_over = asyncio.get_running_loop().time() >= until
        return response if request.url.path.startswith(path) and not is_over else None

    return proxy


def a_harness() -> HttpHarness:
    """A subscription of `prod:/shop`, and a workload."""
    events = [an_entry(event, path="/shop") for event in ("secret:create", "secret:update", "secret:delete")]
    harness = HttpHarness("web", events=events, resyncIntervalSeconds=30)
    harness.server.set("prod", "/shop", PIN="1")
    return harness


@pytest.mark.parametrize("path", [LISTS, EVERYTHING], ids=["lists", "everything"])
@pytest.mark.parametrize("response", ODD.values(), ids=ODD)
@in_virtual_time
async def test_no_baseline_is_recorded_from_an_odd_response(response: httpx.Response, path: str) -> None:
    """The mode stays, the condition is False and says why, and the baseline follows when it is over."""
    harness = a_harness()
    harness.server.proxy = answering(response, path, until=100.0)
    await harness.start(90.0)
    during = (harness.condition("Observed"), harness.status["observation"].get("grade"))
    assert "BaselineRecorded" not in harness.event_reasons
    assert harness.condition("Ready") == ("False", "UnexpectedResponse")
    await asyncio.sleep(150.0)
    after = (harness.condition("Observed"), harness.status["observation"]["grade"])
    harness.server.set("prod", "/shop", PIN="2")
    await asyncio.sleep(5.0)
    await harness.crash()

    assert during == (("False", "UnexpectedResponse"), None)
    assert after == (("True", "UpToDate"), "Versions")
    assert harness.rollouts("web") == [1]
    assert "canary" not in str(harness.status) + str(harness.cluster.notices)


@pytest.mark.parametrize("response", ODD.values(), ids=ODD)
@in_virtual_time
async def test_a_change_during_odd_responses_is_found_afterwards(response: httpx.Response) -> None:
    """After the baseline nothing is lost, whatever answers for a while."""
    harness = a_harness()
    await harness.start(100.0)
    harness.server.proxy = answering(response, LISTS, until=250.0)
    harness.server.set("prod", "/shop", PIN="2")
    await asyncio.sleep(100.0)
    during = harness.condition("Observed"), harness.rollouts("web")
    await asyncio.sleep(120.0)
    await harness.crash()

    assert during == (("False", "UnexpectedResponse"), [0])
    assert harness.condition("Observed") == ("True", "UpToDate")
    assert harness.rollouts("web") == [1]


@pytest.mark.parametrize(
    ("name", "quote"),
    [
        ("mesh", '(text/plain, "RBAC: access denied")'),
        ("login page 403", '(text/html, "Sign in to Corp")'),
        ("login page 200", '(text/html, "Sign in to Corp")'),
        ("gateway", "(Forbidden)"),
        ("framework", "(Forbidden: no)"),
        ("redirect", "https://sso.example.com (HTTP 302)"),
        ("empty 200", "(empty)"),
    ],
)
@in_virtual_time
async def test_the_condition_quotes_what_answered(name: str, quote: str) -> None:
    """Media type and title or first line tell which box in between it is."""
    harness = a_harness()
    harness.server.proxy = answering(ODD[name], LISTS, until=1000.0)
    async with harness:
        assert quote in harness.message()


@in_virtual_time
async def test_a_proxy_that_denies_costs_no_login() -> None:
    """A 401 of a proxy is no rejected token: it is not replaced again and again."""
    harness = HttpHarness("web", events=[an_entry(path="/shop")], authentication=_universal())
    harness.server.set("prod", "/shop", PIN="1")
    harness.cluster.put_secret("team", "login", {"id": "client", "secret": "canary-secret"})
    await harness.start(60.0)
    harness.server.proxy = answering(ODD["proxy 401"], LISTS, until=10_000.0)
    await asyncio.sleep(1000.0)
    await harness.crash()

    assert len(harness.server.asked("/login")) == 1
    assert harness.condition("Authenticated") == ("True", "LoggedIn")


# -- Infisical's own refusals ------------------------------------------------------------------------------


@in_virtual_time
async def test_a_denied_permission_of_infisical_is_event_only_mode_with_a_warning() -> None:
    """The refusal is quoted, name and message, in the condition and in one Warning."""
    harness = a_harness()
    denial = error(403, "PermissionDenied", "You are not allowed to describeSecret on secrets")
    harness.server.proxy = answering(denial, LISTS, until=10_000.0)
    await harness.start(200.0)
    await harness.crash()

    assert harness.condition("Observed") == ("True", "EventsOnly")
    assert "(PermissionDenied: You are not allowed to describeSecret on secrets)" in harness.message()
    assert harness.warnings("EventsOnly") == 1


@pytest.mark.parametrize("name", ["ForbiddenError", "ProjectMembershipNotFound"])
@in_virtual_time
async def test_an_identity_without_any_access_records_no_baseline(name: str) -> None:
    """No member of the project, or another IP address: that is no permission to read events alone."""
    harness = a_harness()
    harness.server.proxy = answering(error(403, name, "Not from here"), LISTS, until=100.0)
    await harness.start(90.0)
    during = harness.condition("Observed")
    assert "BaselineRecorded" not in harness.event_reasons
    await asyncio.sleep(120.0)
    await harness.crash()

    assert during == ("False", "PermissionDenied")
    assert harness.condition("Observed") == ("True", "UpToDate")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (error(400, "BadRequest", "Upgrade plan to use event subscriptions"), "PlanLacksEventSubscriptions"),
        (error(400, "BadRequest", "Invalid secretPath '/plan'"), "RequestRejected"),
        (error(400, "ValidationError", "Validation failed", is_go=True), "RequestRejected"),
        (error(400, "BadRequest", "Identity does not belong to this organization"), "RequestRejected"),
        (ODD["bad request page"], "UnexpectedResponse"),
    ],
    ids=["plan", "path", "go", "organization", "page"],
)
@in_virtual_time
async def test_a_400_of_a_subscribe_is_the_plan_only_by_its_text(
    response: httpx.Response, reason: str
) -> None:
    """Every other 400 is about the request, and quoted."""
    harness = a_harness()
    harness.server.proxy = answering(response, "/api/v1/events", until=1000.0)
    async with harness:
        assert harness.condition("Streaming") == ("False", reason)
        assert harness.condition("Ready") == ("True", "Polling")


def _universal() -> dict[str, object]:
    references = {
        "clientIdRef": {"name": "login", "key": "id"},
        "clientSecretRef": {"name": "login", "key": "secret"},
    }
    return {"universalAuth": references}

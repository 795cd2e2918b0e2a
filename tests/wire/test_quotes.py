"""Foreign text in a message shows no credential of the request, in whatever form it is repeated."""

import httpx
import pytest

from hostile.disguises import DISGUISES, leaked
from infisical_events.infisical.responses import quoted

CREDENTIALS = ("5b0e7f1c9a3d2e4f60718293a4b5c6d7e8f90a1b", "correct-horse-battery-staple-of-the-team")
HEX, WORDS = CREDENTIALS


def request_with(credential: str) -> httpx.Request:
    """A request that carries it."""
    return httpx.Request("GET", "https://app.example/api", headers={"Authorization": f"Bearer {credential}"})


@pytest.mark.parametrize("name", DISGUISES)
@pytest.mark.parametrize("sent", [HEX, "another-credential-0123456789"])
def test_a_credential_in_disguise(name: str, sent: str) -> None:
    """A random credential is hidden in every form, also in the error of another request."""
    shown = quoted(f"wrong: {DISGUISES[name](HEX)}", request_with(sent), 300)
    assert leaked(HEX, shown) == ()
    assert shown.startswith((" (wrong", " (…"))


@pytest.mark.parametrize(
    "name", ["verbatim", "truncated", "upper", "reversed", "split-by-space", "swapped-case"]
)
def test_a_credential_of_words(name: str) -> None:
    """One that a person chose is hidden in the error of its own request."""
    assert quoted(f"wrong: {DISGUISES[name](WORDS)}", request_with(WORDS), 300) == " (…)"


@pytest.mark.parametrize(
    "text",
    [
        "PermissionDenied: You are not allowed to describeSecret on secrets",
        "RateLimitExceeded: Rate limit exceeded. Please try again in 17 seconds",
        "Folder with path '/payments/cards' in environment with slug 'prod' not found",
        "Route GET:/api/v4/secrets not found",
    ],
)
def test_words_stay(text: str) -> None:
    """What Infisical says of an error is quoted as it is."""
    assert quoted(text, request_with(HEX), 300) == f" ({text})"

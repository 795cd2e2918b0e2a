"""What to do about a failure that this machine saw, where that is more than what its reason says.

The machine of a user may have another network view than the operator's pod.
"""

from typing import Final

from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.remedies import remedy_for

OTHER_NETWORK: Final = (
    "This machine may have another network view than the operator: repeat the check in a pod of the cluster."
)

_SEEN_FROM_HERE: Final = {Reason.UNREACHABLE, Reason.NAME_NOT_RESOLVED, Reason.TLS_FAILED}

_CONFIRMATION: Final = "Here, confirm the address with --address."

_PRIVATE_CA = (
    "The certificate is signed by a CA that is not trusted: give its certificate by SSL_CERT_FILE here, and "
    "to the operator by the chart values extraEnv and extraVolumes."
)

_TLS_REMEDIES: Final = {
    "self-signed certificate": _PRIVATE_CA,
    "self signed certificate": _PRIVATE_CA,
    "unable to get local issuer": _PRIVATE_CA,
    "unable to get issuer": _PRIVATE_CA,
    "unable to verify the first": "The server does not send its intermediate certificate: add it there.",
    "has expired": "The certificate has expired: renew it on the server.",
    "not yet valid": "The certificate is not valid yet: check the clocks of this machine and of the server.",
    "mismatch": "The certificate is for another host: use a host that it names, or issue one for this host.",
    "doesn't match": "The certificate is for another host: use a host that it names.",
    "wrong version number": "The port does not speak TLS: check the port, or whether the address is http.",
    "record layer failure": "The port does not speak TLS: check the port, or whether the address is http.",
}
"""By a part of OpenSSL's message."""


def local_remedy_for(reason: Reason, message: str = "") -> str:
    """What to do; for TLS errors by the text of the message. Empty for a reason that is no fault."""
    if reason is Reason.ADDRESS_NOT_ALLOWED:
        return f"{remedy_for(reason)} {_CONFIRMATION}"
    if reason not in _SEEN_FROM_HERE:
        return remedy_for(reason)
    texts = _TLS_REMEDIES.items() if reason is Reason.TLS_FAILED else ()
    readable = message.lower().replace("_", " ")
    known = next((remedy for part, remedy in texts if part in readable), remedy_for(reason))
    return f"{known} {OTHER_NETWORK}"

"""What to do about a reason, in the words of `docs/reasons.md`."""

from typing import Final

from infisical_events.core.status.reasons import Reason

OTHER_NETWORK: Final = (
    "This machine may have another network view than the operator: repeat the check in a pod of the cluster."
)

_REMEDIES: Final = {
    Reason.INVALID_SPEC: "Change the field that the message names.",
    Reason.ADDRESS_NOT_ALLOWED: (
        "Check the address. The operator needs it in --allowed-address; here, confirm it with --address."
    ),
    Reason.SECRET_NOT_FOUND: "Create the Secret, with that key, in the namespace of the subscription.",
    Reason.SERVICE_ACCOUNT_NOT_FOUND: "Create the ServiceAccount in the namespace of the subscription.",
    Reason.CREDENTIALS_REJECTED: (
        "Check the client id and secret. In Infisical, check that the identity exists, is not locked out "
        "(three failed logins lock it for 5 minutes) and is not restricted to other networks."
    ),
    Reason.TOKEN_REJECTED: "Replace the token: it is expired, revoked or used up.",
    Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS: (
        "Use a plan with Event Subscriptions. Without them the operator finds changes by polling every "
        "resyncIntervalSeconds."
    ),
    Reason.EVENTS_NOT_SUPPORTED: "Upgrade Infisical; until then the operator polls.",
    Reason.CONNECTION_LIMIT_REACHED: (
        "Merge or remove subscriptions of the project; until then the operator polls. Streams of a crashed "
        "server free their places within 3 minutes."
    ),
    Reason.PROJECT_NOT_FOUND: (
        "Check projectId or projectSlug, and that the identity is a member of the project."
    ),
    Reason.ENVIRONMENT_NOT_FOUND: "Correct environmentSlug: use the slug, not the display name.",
    Reason.FOLDER_NOT_FOUND: (
        "Correct secretPath, or create the folder. A folder that the identity may not see is reported so too."
    ),
    Reason.PERMISSION_DENIED: (
        "Grant it in the project's access control: Describe Secret for reads, Secret Events for each event, "
        "environment and path."
    ),
    Reason.RATE_LIMITED: "Wait, then raise resyncIntervalSeconds or merge subscriptions.",
    Reason.REQUEST_REJECTED: "Do what the message says.",
    Reason.SERVER_ERROR: "Check the log of the Infisical server, then try again; the operator retries.",
    Reason.UNREACHABLE: f"Check the port of the address, firewalls and proxies. {OTHER_NETWORK}",
    Reason.NETWORK_NOT_ALLOWED: "Have the administrator allow the network (--allowed-network).",
    Reason.NAME_NOT_RESOLVED: f"Check the host in the address and the DNS server. {OTHER_NETWORK}",
    Reason.TLS_FAILED: f"Check the certificate of the server and its CA. {OTHER_NETWORK}",
    Reason.UNEXPECTED_RESPONSE: "Set the final address of Infisical, and let requests through proxies.",
    Reason.KUBERNETES_API_ERROR: "Check your rights (kubectl auth can-i) and the API server.",
}

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


def remedy_for(reason: Reason, message: str = "") -> str:
    """What to do; for TLS errors by the text of the message. Empty for a reason that is no fault."""
    if reason is Reason.TLS_FAILED:
        for part, remedy in _TLS_REMEDIES.items():
            if part in message.lower().replace("_", " "):
                return f"{remedy} {OTHER_NETWORK}"
    return _REMEDIES.get(reason, "")

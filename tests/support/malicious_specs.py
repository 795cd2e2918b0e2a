"""Subscriptions as an attacker would write them, and where each of them ends.

Used by the unit tests of what is understood, and by the test that applies all of them to a real API server.
Aliases of YAML ("billion laughs") are expanded by kubectl: the API server gets JSON, and the operator what
the API server has stored.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from support.invalid_specs import GOOD, with_field

VICTIM = "victim"
"""A namespace next door."""

MEGABYTE = "a" * 1_000_000
BIDI, NUL, CRLF = "\u202e", "\x00", "\r\n"


class End(Enum):
    """Where an attack ends."""

    SCHEMA = "the API server refuses it, and the models as well"
    PRUNED = "the API server drops the field; the models refuse it"
    MODELS = "the operator says in `Stalled` what is wrong"
    ADDRESS = "the operator sends nothing there (`Stalled`, `AddressNotAllowed`)"
    NETWORK = "the operator connects to nothing there (`NetworkNotAllowed`), or the name does not exist"
    HARMLESS = "it is served, and hurts nobody"


@dataclass(frozen=True, slots=True)
class Attack:
    """One change to a good spec."""

    aim: str
    field: str
    value: object
    end: End = End.SCHEMA

    def __str__(self) -> str:
        """The name of the case in a test report."""
        return f"{self.aim} by {self.field}"

    @property
    def spec(self) -> dict[str, Any]:
        """A good spec with the attack in it."""
        return with_field(GOOD, self.field, self.value)


_REF = "authentication.accessTokenRef"
_KUBERNETES = {"identityId": "a", "serviceAccountName": "default"}
_UNIVERSAL = {"clientIdRef": {"name": "a", "key": "b"}, "clientSecretRef": {"name": "a", "key": "b"}}
_SECRET = {"name": "made", "environmentSlug": "prod"}
_CONDITIONS = "events.0.conditions"


def _managed(**fields: object) -> dict[str, object]:
    return {"secrets": [_SECRET | fields]}


FOREIGN_REFERENCES = (
    Attack("a Secret next door", f"{_REF}.name", f"{VICTIM}/login"),
    Attack("a Secret next door", f"{_REF}.name", f"../../{VICTIM}/secrets/login"),
    Attack("a Secret next door", f"{_REF}.name", f"..%2f..%2f{VICTIM}%2fsecrets%2flogin"),
    Attack("a Secret next door", f"{_REF}.name", f"{VICTIM}:login"),
    Attack("a Secret next door", f"{_REF}.namespace", VICTIM, End.PRUNED),
    Attack("a Secret next door", "authentication", {"universalAuth": _UNIVERSAL | {
        "namespace": VICTIM}}, End.PRUNED),
    Attack("a Secret next door", "authentication", {"universalAuth": _UNIVERSAL | {
        "clientSecretRef": {"name": f"../{VICTIM}", "key": "b"}}}),
    Attack("all Secrets", f"{_REF}.name", ""),
    Attack("all Secrets", f"{_REF}.name", ".."),
    Attack("another key", f"{_REF}.key", "../token"),
    Attack("a ServiceAccount next door", "authentication", {"kubernetesAuth": _KUBERNETES | {
        "serviceAccountName": f"{VICTIM}/admin"}}),
    Attack("a ServiceAccount next door", "authentication", {"kubernetesAuth": _KUBERNETES | {
        "serviceAccountName": f"system:serviceaccount:{VICTIM}:admin"}}),
    Attack("a ServiceAccount next door", "authentication", {"kubernetesAuth": _KUBERNETES | {
        "namespace": VICTIM}}, End.PRUNED),
    Attack("a Secret made next door", "resync", _managed(name=f"../../{VICTIM}/secrets/x")),
    Attack("a Secret made next door", "resync", _managed(namespace=VICTIM), End.PRUNED),
    Attack("an owner next door", "resync", _managed(ownerReferences=[]), End.PRUNED),
    Attack("workloads next door", "namespaces", [VICTIM], End.PRUNED),
    Attack("workloads next door", "workloadSelector", {"namespace": VICTIM}, End.PRUNED),
)  # fmt: skip

FILES_AND_IDENTITY = (
    Attack("a file", "address", "file:///etc/passwd"),
    Attack("a file", "address", "unix:///var/run/docker.sock"),
    Attack("a file", "tls", {"caPath": "/var/run/secrets/kubernetes.io/serviceaccount/token"}, End.PRUNED),
    Attack("a file", "authentication", {"kubernetesAuth": _KUBERNETES | {
        "serviceAccountTokenPath": "/var/run/secrets/kubernetes.io/serviceaccount/token"}}, End.PRUNED),
    Attack("a file", f"{_REF}.key", "/etc/shadow"),
    Attack("a token that Kubernetes fills in", "resync", _managed(
        type="kubernetes.io/service-account-token",
        annotations={"kubernetes.io/service-account.name": "default"})),
    Attack("a token that Kubernetes believes", "resync", _managed(type="bootstrap.kubernetes.io/token")),
)  # fmt: skip

ADDRESSES = (
    Attack("credentials in a URL", "address", "https://user:password@infisical.example"),
    Attack("another host", "address", "https://app.infisical.com@evil.example"),
    Attack("another header", "address", f"https://evil.example{CRLF}Host: infisical.example"),
    Attack("another path", "address", "https://evil.example/?a="),
    Attack("another path", "address", "https://evil.example/latest/meta-data"),
    Attack("another host", "address", "https://evil.example#"),
    Attack("another host", "address", "https://evil.example\\x"),
    Attack("a homoglyph", "address", "https://\u0430pp.infisical.com"),
    Attack("a full-width host", "address", "https://\uff45vil.example"),
    Attack("the other reading direction", "address", f"https://{BIDI}moc.live"),
    Attack("a NUL", "address", f"https://evil.example{NUL}.infisical.com"),
    Attack("another root", "address", "https://evil.example."),
    Attack("an address in decimal", "address", "https://2130706433", End.MODELS),
    Attack("an address in octal", "address", "https://0177.0.0.1", End.MODELS),
    Attack("an address in hex", "address", "https://0x7f.0.0.1", End.MODELS),
    Attack("an address in short", "address", "https://127.1", End.MODELS),
    Attack("a zone", "address", "https://[fe80::1%25eth0]"),
    Attack("the metadata service", "address", "http://169.254.169.254", End.ADDRESS),
    Attack("the metadata service", "address", "https://169.254.169.254", End.ADDRESS),
    Attack("the metadata service", "address", "https://[::ffff:169.254.169.254]", End.ADDRESS),
    Attack("the metadata service", "address", "https://[::ffff:a9fe:a9fe]", End.ADDRESS),
    Attack("the metadata service", "address", "https://[64:ff9b::a9fe:a9fe]", End.ADDRESS),
    Attack("the metadata service", "address", "https://[fd00:ec2::254]", End.ADDRESS),
    Attack("this machine", "address", "https://127.0.0.1", End.ADDRESS),
    Attack("this machine", "address", "https://127.8.8.8:6443", End.ADDRESS),
    Attack("this machine", "address", "https://0.0.0.0", End.ADDRESS),
    Attack("this machine", "address", "https://[::1]:6443", End.ADDRESS),
    Attack("this machine", "address", "https://[::]", End.ADDRESS),
    Attack("this machine", "address", "https://[::ffff:7f00:1]", End.ADDRESS),
    Attack("the cluster", "address", "https://10.96.0.1", End.ADDRESS),
    Attack("everybody", "address", "https://224.0.0.1", End.ADDRESS),
    Attack("everybody", "address", "https://255.255.255.255", End.ADDRESS),
    Attack("this machine", "address", "https://localhost:6443", End.NETWORK),
    Attack("the cluster", "address", "https://kubernetes.default.svc", End.NETWORK),
    Attack("the metadata service", "address", "https://metadata.google.internal", End.NETWORK),
    Attack("plain text", "address", "http://infisical.example", End.ADDRESS),
)  # fmt: skip

INJECTIONS = (
    Attack("another request", "projectId", "../../admin"),
    Attack("another request", "projectId", f"a{CRLF}X-Evil: 1"),
    Attack("another request", "projectId", "a?b=c"),
    Attack("another project", "projectSlug", "shop", End.SCHEMA),
    Attack("another header", f"{_CONDITIONS}.environmentSlug", f"prod{CRLF}X-Evil: 1"),
    Attack("another folder", f"{_CONDITIONS}.environmentSlug", "prod&secretPath=/"),
    Attack("another line in the log", f"{_CONDITIONS}.secretPath", "/a\n12:00:00 INFO all is well"),
    Attack("another folder", f"{_CONDITIONS}.secretPath", "/a?b=c#d"),
    Attack("another folder", f"{_CONDITIONS}.secretPath", "/../.."),
    Attack("a terminal", f"{_CONDITIONS}.secretPath", "/\x1b[2J"),
    Attack("a terminal", f"{_CONDITIONS}.secretKeys", ["\x1b]0;evil\x07"]),
    Attack("the other reading direction", f"{_CONDITIONS}.secretKeys", [f"{BIDI}YEK"], End.HARMLESS),
    Attack("a combining character", f"{_CONDITIONS}.secretKeys", ["A\u0301" * 100], End.HARMLESS),
    Attack("a homoglyph", f"{_CONDITIONS}.secretKeys", ["DB_P\u0410SSWORD"], End.HARMLESS),
    Attack("a homoglyph", "events.0.event", "secret:upd\u0430te"),
    Attack("code in a template", "resync", _managed(template={"a": '{{ env "TOKEN" }}'}), End.MODELS),
    Attack("code in a template", "resync", _managed(template={"a": '{{ .A | printf "%s" }}'}), End.MODELS),
    Attack("code in a template", "resync", _managed(
        template={"a": "{{ range . }}{{ . }}{{ end }}"}), End.MODELS),
    Attack("code in a template", "resync", _managed(
        template={"a": "{{ .A.__class__.__mro__ }}"}), End.HARMLESS),
    Attack("code in a template", "resync", _managed(
        template={"a": "${jndi:ldap://x} $(id) {% raw %}"}), End.HARMLESS),
    Attack("a file in a volume", "resync", _managed(template={"..": "x"}), End.MODELS),
    Attack("a file in a volume", "resync", _managed(template={"../../etc/passwd": "x"}), End.MODELS),
    Attack("another line in the log", "resync", _managed(
        template={"a\n12:00:00 INFO well": "x"}), End.MODELS),
    Attack("the other reading direction", "resync", _managed(template={BIDI: "x"}), End.MODELS),
    Attack("a label that is none", "resync", _managed(labels={f"a{CRLF}b": "c"}), End.MODELS),
    Attack("a label that is none", "resync", _managed(labels={"a": f"b{BIDI}{NUL}"}), End.HARMLESS),
    Attack("Helm's label", "resync", _managed(labels={"app.kubernetes.io/managed-by": "Helm"})),
    Attack("the operator's annotation", "resync", _managed(
        annotations={"events.infisical.com/content": "x"})),
    Attack("an annotation that is none", "resync", _managed(annotations={"a b\n": "c"}), End.MODELS),
    Attack("a terminal", "resync", _managed(annotations={"a": "\x1b[2J"}), End.HARMLESS),
)  # fmt: skip

BOMBS = (
    Attack("a megabyte", "address", f"https://{MEGABYTE}"),
    Attack("a megabyte", f"{_REF}.name", MEGABYTE),
    Attack("a megabyte", "projectId", MEGABYTE),
    Attack("a megabyte", f"{_CONDITIONS}.secretPath", f"/{MEGABYTE}"),
    Attack("a megabyte", f"{_CONDITIONS}.secretKeys", [MEGABYTE]),
    Attack("a megabyte", "resync", _managed(template={"a": MEGABYTE})),
    Attack("a megabyte", "resync", _managed(labels={"a": MEGABYTE})),
    Attack("a megabyte", "resync", _managed(annotations={"a": MEGABYTE})),
    Attack("ten thousand conditions", "events", GOOD["events"] * 10_000),
    Attack("ten thousand patterns", f"{_CONDITIONS}.secretKeys", ["A*"] * 10_000),
    Attack("ten thousand Secrets", "resync", {
        "secrets": [_SECRET | {"name": f"s{n}"} for n in range(10_000)]}),
    Attack("ten thousand labels", "resync", _managed(labels={f"a{n}": "b" for n in range(10_000)})),
    Attack("ten thousand audiences", "authentication", {"kubernetesAuth": _KUBERNETES | {
        "audiences": ["a"] * 10_000}}),
    Attack("a glob", f"{_CONDITIONS}.secretPath", "/" + "**/" * 100 + "a", End.HARMLESS),
    Attack("a glob", f"{_CONDITIONS}.secretPath", "/" + "a*" * 250, End.HARMLESS),
    Attack("a glob", f"{_CONDITIONS}.secretPath", "/+(a|a|aa)+(a|a|aa)+(a|a|aa)b", End.HARMLESS),
    Attack("a glob", f"{_CONDITIONS}.secretPath", "/+(" + "{a,b}" * 60 + ")", End.HARMLESS),
    Attack("a glob", f"{_CONDITIONS}.secretPath", "/+(+(+(a)))b", End.MODELS),
    Attack("a glob", f"{_CONDITIONS}.secretPath", "/" + "{a," * 100 + "b" + "}" * 100, End.MODELS),
    Attack("a glob", f"{_CONDITIONS}.secretPath", "/{1..99999999}"),
    Attack("a glob", f"{_CONDITIONS}.secretKeys", ["*a" * 120 + "b"] * 100, End.HARMLESS),
    Attack("a glob", f"{_CONDITIONS}.secretKeys", ["(a+)+$"]),
    Attack("a template a thousandfold", "resync", _managed(
        template={f"k{n}": "{{ .DB_PASSWORD }}" * 900 for n in range(20)}), End.HARMLESS),
    Attack("a look without end", "resyncIntervalSeconds", 0),
    Attack("a number without end", "resyncIntervalSeconds", 10**30),
    Attack("a number that is none", "debounceSeconds", 0.5),
)  # fmt: skip

ATTACKS = (*FOREIGN_REFERENCES, *FILES_AND_IDENTITY, *ADDRESSES, *INJECTIONS, *BOMBS)

KEYS = ("A\nB", f"{BIDI}YEK", "../../etc/passwd", "\x1b[2J", "a b", "{{ .OTHER }}", "..", "k" * 300, "\u0410")
"""Names of secrets in an attacker's own project."""

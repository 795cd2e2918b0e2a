"""The certificates of the local control plane: one authority, one pair per identity.

RBAC takes the identity from the subject: common name = user, organization = group. All files are
written once with mode 0600 and removed with the state folder.
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=3650)
_CLOCK_SKEW = timedelta(hours=1)
_SERVICE_ADDRESS = "10.0.0.1"  # of the `kubernetes` Service: the first of the service range
_SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_MASTERS = "system:masters"
# file name -> (user, group)
IDENTITIES = {
    "server": ("infisical-sandbox", ""),
    "admin": ("infisical-sandbox-admin", _MASTERS),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kwok": ("infisical-sandbox-kwok", _MASTERS),  # kwok simulates all kubelets
}


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificate authority of one state folder."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def write(folder: Path, now: datetime) -> None:
    """Write `ca.crt`, a pair per identity and the service account keys into `folder`, once.

    `ca.crt` is written last: if it exists, all files exist.
    """
    if (folder / "ca.crt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    authority = _authority(now)
    for name, (user, group) in IDENTITIES.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(authority, _subject(user, group), key.public_key(), now)
        _write(folder / f"{name}.key", _private(key))
        _write(folder / f"{name}.crt", _pem(certificate))
    tokens = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "sa.key", _private(tokens))
    _write(folder / "sa.pub", _public(tokens.public_key()))
    _write(folder / "ca.crt", _pem(authority.certificate))


def _authority(now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("infisical-sandbox-ca", "")
    certificate = (
        _builder(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def _sign(
    authority: Authority, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.Certificate:
    purposes = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    issuer = authority.key.public_key()
    return (
        _builder(subject, authority.certificate.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(_server_names()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(user: str, group: str) -> x509.Name:
    names = [(NameOID.ORGANIZATION_NAME, group), (NameOID.COMMON_NAME, user)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in names if value])


def _server_names() -> Iterable[x509.GeneralName]:
    addresses = ("127.0.0.1", "::1", _SERVICE_ADDRESS)
    yield from (x509.DNSName(name) for name in _SERVER_NAMES)
    yield from (x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _public(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)

"""Certificates for mutual TLS between the services of one SP."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sp.runtime.config import TlsConfig

VALID_FOR: Final = timedelta(days=3652)
CLOCKS_DIFFER_BY: Final = timedelta(days=1)


def make_certificates(dir: Path, names: Sequence[str]) -> TlsConfig:
    """Make a private CA and one certificate, of server and client at once, that all services of this SP share.

    names: host names and IP addresses under which the services dial each other (subject alternative names)

    Writes ca.pem, sp.pem and sp.key into `dir`, mode 0600, valid for ten years, and says so as a [tls] section. The
    CA's key is not kept: whoever holds the three files is inside, and nobody can let another one in.
    """
    assert names
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _named("greenfield-sp private CA")
    ca = (
        _started(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    certificate = (
        _started(_named("greenfield-sp service"), ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = TlsConfig(ca=str(dir / "ca.pem"), certificate=str(dir / "sp.pem"), key=str(dir / "sp.key"))
    _write_private(files.ca, ca.public_bytes(serialization.Encoding.PEM))
    _write_private(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    _write_private(files.key, _pem(key))
    return files


def expires_at(tls: TlsConfig) -> datetime:
    """When the certificate ends. Blocks. OSError, ValueError for a file that is none."""
    return x509.load_pem_x509_certificate(Path(tls.certificate).read_bytes()).not_valid_after_utc


def _started(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER_BY)
        .not_valid_after(now + VALID_FOR)
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: str, content: bytes) -> None:
    """Replaces an older file, whose mode may have been another."""
    Path(path).unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)

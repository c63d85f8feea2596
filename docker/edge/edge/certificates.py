"""A certificate of one's own: two files that somebody replaces, one after the other, whenever they like."""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from edge.settings import Settings


class CertificateError(Exception):
    """A pair that cannot be served; the text says why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in copies that nobody replaces."""

    certificate: Path
    key: Path


def take(settings: Settings) -> Pair:
    """Copy the pair as it is now, where it is one.

    Raises:
        CertificateError: A file is missing or unreadable, or the key is not that of the certificate, as while it is being replaced.
    """
    try:
        certificate, key = settings.certificate.read_bytes(), settings.key.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"{error.filename}: {error.strerror}; user 10001 has to be able to read it."
        ) from error
    digest = hashlib.sha256(certificate + b"\0" + key).hexdigest()[:16]
    # Named by what is in them: other files make another configuration, which Caddy would otherwise not take.
    pair = Pair(settings.run / f"certificate-{digest}.pem", settings.run / f"key-{digest}.pem")
    for path, content in ((pair.certificate, certificate), (pair.key, key)):
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(content)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            pair.certificate, pair.key, password=""
        )
    except (ssl.SSLError, ValueError) as error:
        forget(pair)
        raise CertificateError(
            f"{settings.certificate} and {settings.key} are no pair of certificate and unencrypted key in PEM: {error}."
        ) from error
    return pair


def forget(pair: Pair) -> None:
    """Remove the copies."""
    pair.certificate.unlink(missing_ok=True)
    pair.key.unlink(missing_ok=True)

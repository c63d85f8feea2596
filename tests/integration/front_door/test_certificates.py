"""Certificates: those of the internal authority are renewed, those of one's own taken when they are replaced, and nothing is restarted."""

import datetime as dt
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from front_door import FrontDoorUnderTest

pytestmark = pytest.mark.timeout(300)


def make_pair(folder: Path, common_name: str) -> tuple[bytes, bytes]:
    """A certificate for localhost that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    unencrypted = serialization.NoEncryption()
    return certificate.public_bytes(pem), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, unencrypted
    )


def served(door: FrontDoorUnderTest) -> x509.Certificate:
    """The certificate that a handshake shows."""
    return x509.load_pem_x509_certificate(
        ssl.get_server_certificate(("localhost", door.https_port), timeout=60).encode()
    )


def name_of(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[FrontDoorUnderTest]:
    """A front door with a certificate that somebody put into its folder."""
    certificate, key = make_pair(tmp_path, "first")
    (tmp_path / "certificate.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    files = {
        "EDGE_TLS": "files",
        "EDGE_CERTIFICATE_FILE": str(tmp_path / "certificate.pem"),
        "EDGE_KEY_FILE": str(tmp_path / "key.pem"),
    }
    with FrontDoorUnderTest(files, webservers=False) as door:
        yield door


def test_a_certificate_that_is_replaced_is_served_without_a_restart(
    own: FrontDoorUnderTest, tmp_path: Path
):
    assert name_of(served(own)) == "first"
    process = own.processes.running["edge"].pid
    certificate, key = make_pair(tmp_path, "second")
    # One file is there before the other: half a pair is not taken.
    (tmp_path / "certificate.pem").write_bytes(certificate)
    own.wait_until(lambda: "are no pair" in own.processes.log("edge"), "half a pair is told")
    assert name_of(served(own)) == "first"
    (tmp_path / "key.pem").write_bytes(key)
    own.wait_until(lambda: name_of(served(own)) == "second", "the new pair is served")
    assert own.browser(tmp_path / "certificate.pem").get("/-/login").status_code == 200
    assert own.processes.running["edge"].poll() is None
    assert own.processes.running["edge"].pid == process
    own.wait_until(
        lambda: len(list((own.folder / "run").glob("*.pem"))) == 2, "no copy is left over"
    )
    (tmp_path / "key.pem").unlink()
    own.wait_until(
        lambda: "key.pem: No such file" in own.processes.log("edge"), "a missing key is told"
    )
    assert name_of(served(own)) == "second"


def test_without_a_pair_the_edge_says_why_it_does_not_start(tmp_path: Path):
    files = {
        "EDGE_TLS": "files",
        "EDGE_CERTIFICATE_FILE": str(tmp_path / "certificate.pem"),
        "EDGE_KEY_FILE": str(tmp_path / "key.pem"),
    }
    with (
        pytest.raises(
            AssertionError, match=r"certificate\.pem: No such file or directory; user 10001"
        ),
        FrontDoorUnderTest(files, webservers=False),
    ):
        pass


def test_certificates_of_the_internal_authority_are_renewed(tmp_path: Path):
    brief = {"EDGE_INTERNAL_SECONDS": "30", "EDGE_RENEW_CHECK_SECONDS": "1"}
    with FrontDoorUnderTest(brief, webservers=False) as door:
        first = served(door)
        door.wait_until(
            lambda: served(door).serial_number != first.serial_number, "a new certificate is served"
        )
        assert door.browser().get("/-/login").status_code == 200
        assert served(door).not_valid_after_utc > first.not_valid_after_utc


def test_no_trust_store_is_touched(tmp_path: Path):
    stores = [Path("/etc/ssl/certs"), Path("/usr/local/share/ca-certificates")]
    before = {file for store in stores if store.exists() for file in store.iterdir()}
    with FrontDoorUnderTest(webservers=False) as door, pytest.raises(httpx.ConnectError):
        httpx.get(f"{door.url}/-/login")
    assert {file for store in stores if store.exists() for file in store.iterdir()} == before

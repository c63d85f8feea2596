"""A stack whose warehouse and whose Dagster storage are Postgres servers outside of it, with certificates that are verified."""

import base64
import contextlib
import datetime
import ipaddress
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import psycopg2
import pytest
from compose_stack import ComposeStack, free_ports
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from docker.models.containers import Container
from graphql_client import GraphQLClient
from psycopg2 import extensions

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]

SERVICES = ("webserver", "daemon")
SERVER = """
umask 077
for file in server.crt server.key; do printenv "${file/./_}" | base64 -d >"/tmp/$file"; done
exec docker-entrypoint.sh postgres -c ssl=on -c ssl_cert_file=/tmp/server.crt -c ssl_key_file=/tmp/server.key
"""


class Server:
    """A Postgres outside of the stack, on an address of this machine that containers reach; it takes TLS.

    Args:
        name: Its database and its role.
        address: Where it listens.
    """

    def __init__(self, name: str, address: str):
        self.name, self.address = name, address
        self.password = f"it's {secrets.token_hex(8)}"
        certificate, key = _certificate(address)
        self.certificate = certificate.decode()
        self._container: Container = docker.from_env().containers.run(
            "postgres:17-trixie",
            ["bash", "-euc", SERVER],
            entrypoint=[],
            detach=True,
            ports={"5432/tcp": (address, free_ports(1)[0])},
            environment={
                "POSTGRES_USER": name,
                "POSTGRES_DB": name,
                "POSTGRES_PASSWORD": self.password,
                "server_crt": base64.b64encode(certificate).decode(),
                "server_key": base64.b64encode(key).decode(),
            },
        )
        self._container.reload()
        (binding,) = self._container.attrs["NetworkSettings"]["Ports"]["5432/tcp"]
        self.port = str(binding["HostPort"])

    def variables(self, prefix: str) -> dict[str, str]:
        """What a stack is told of it."""
        told = {"HOST": self.address, "PORT": self.port, "DATABASE": self.name, "USER": self.name}
        return {f"{prefix}{name}": text for name, text in told.items()}

    def connect(self) -> contextlib.closing[extensions.connection]:
        """A connection from here."""
        connection = psycopg2.connect(
            host=self.address,
            port=self.port,
            dbname=self.name,
            user=self.name,
            password=self.password,
            sslmode="require",
        )
        return contextlib.closing(connection)

    def remove(self) -> None:
        self._container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """The two, by the prefix of the variables that name them."""
    bridge = docker.from_env().networks.list(names=["bridge"])[0]
    bridge.reload()
    address = bridge.attrs["IPAM"]["Config"][0]["Gateway"]
    made: dict[str, Server] = {}
    try:
        for prefix, name in (("DAGSTER_POSTGRES_", "dagster"), ("TRANSHIP_POSTGRES_", "warehouse")):
            made[prefix] = Server(name, address)
        yield made
    finally:
        for server in made.values():
            server.remove()


@pytest.fixture(scope="module")
def elsewhere(
    servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeStack]:
    """The stack, whose own containers are the control plane, S3 and the source."""
    stack = ComposeStack(tmp_path_factory.mktemp("elsewhere"))
    given = Path(stack.environment["TRANSHIP_SECRETS_DIRECTORY"])
    authorities = "".join(server.certificate for server in servers.values())
    (given / "authorities.pem").write_text(authorities)
    for prefix, server in servers.items():
        (given / f"{prefix}PASSWORD").write_text(server.password)
        stack.environment.update(server.variables(prefix))
    stack.environment["TRANSHIP_REDSHIFT_HOST"] = "none"
    stack.build()
    try:
        stack.up(*SERVICES)
        yield stack
    except BaseException:
        stack.keep_diagnostics()
        raise
    finally:
        stack.down("--volumes")
        assert stack.left_behind() == []


def test_none_of_the_containers_starts_that_others_take_the_place_of(elsewhere: ComposeStack):
    listed = elsewhere.compose("ps", "--all", "--format", "json").splitlines()
    services = {json.loads(line)["Service"] for line in listed}
    expected = {"daemon", "gate", "localstack", "secrets", "sqlserver", "sqlserver-sample"}
    assert services == expected | {"user-code", "webserver"}


def test_a_run_loads_the_warehouse_outside_and_is_told_of_in_the_storage_outside(
    elsewhere: ComposeStack, servers: dict[str, Server]
):
    dagster = GraphQLClient(elsewhere.graphql)
    run_id = dagster.launch("dim_product_category_job")
    assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
    with servers["TRANSHIP_POSTGRES_"].connect() as connection, connection.cursor() as cursor:
        cursor.execute('select count(*) from "stg_DimProductCategory"')
        assert cursor.fetchone() == (4,)
    with servers["DAGSTER_POSTGRES_"].connect() as connection, connection.cursor() as cursor:
        cursor.execute("select status from runs where run_id = %s", (run_id,))
        assert cursor.fetchone() == ("SUCCESS",)
        # Every connection of the stack's is encrypted; libpq has checked whose server it is before it sent a password.
        cursor.execute("""
            select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'dagster'
        """)
        assert cursor.fetchone() == (True,)


def test_a_server_of_another_authority_gets_no_password(elsewhere: ComposeStack):
    code = (
        "import os, psycopg2; psycopg2.connect(host=os.environ['DAGSTER_POSTGRES_HOST'], "
        "port=os.environ['DAGSTER_POSTGRES_PORT'], user='x', password='x', sslmode='verify-full', "
        "sslrootcert='/etc/ssl/certs/ca-certificates.crt')"
    )
    exit_code, output = elsewhere.python("webserver", code)
    assert exit_code != 0
    assert "certificate verify failed" in output


def _certificate(address: str) -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Postgres {secrets.token_hex(4)}")])
    # A machine's clock may be behind the one that looks at it.
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=2))
        .not_valid_after(today + datetime.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    return certificate.public_bytes(form), key.private_bytes(
        form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

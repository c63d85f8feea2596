"""The bundled Postgres: whoever has an application's password has its tables, and not the server."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from compose_stack import ROOT
from docker.models.containers import Container

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300), pytest.mark.xdist_group("stack")]

IMAGE = "postgres:17-trixie"
#: Each was possible for a run, which had the superuser's password.
ATTACKS = (
    "copy (select 1) to program 'id'",
    "create table stolen (x text); copy stolen from program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "copy (select 1) to '/tmp/x'",
    "alter system set work_mem = '1MB'",
    "create role mine superuser",
    "alter role current_user superuser",
    "alter role postgres password 'mine'",
    "grant postgres to current_user",
    "set role postgres",
    "set session authorization postgres",
    "create database mine",
    "create function mine() returns int language c as 'libc', 'getpid'",
    "create function mine() returns int language internal as 'pg_current_xact_id'",
    "select rolpassword from pg_authid",
    "select pg_reload_conf()",
    "load 'auto_explain'",
    "create event trigger mine on ddl_command_end execute function now()",
)


@dataclass(frozen=True)
class Server:
    """A volume with a cluster, and the secrets of it, of which a test starts servers."""

    engine: docker.DockerClient
    volume: str
    secrets: Path

    @contextlib.contextmanager
    def running(self, *, like_before: bool = False) -> Iterator[Container]:
        """A server, as docker-compose.yml starts it, or as that of the version before did."""
        environment = {
            "OWNER": "app",
            "DATABASE": "app",
            "OWNER_PASSWORD_FILE": "/secrets/owner",
            "GUEST": "guest",
            "GUEST_PASSWORD_FILE": "/secrets/guest",
        }
        before = {
            "POSTGRES_USER": "app",
            "POSTGRES_DB": "app",
            "POSTGRES_PASSWORD_FILE": "/secrets/owner",
        }
        ours = ["bash", "/opt/tranship/start.sh"]
        container = self.engine.containers.run(
            IMAGE,
            ["postgres"],
            entrypoint=["docker-entrypoint.sh"] if like_before else ours,
            user="999:999",
            init=True,
            read_only=True,
            network_mode="none",
            tmpfs={"/tmp": "mode=1777,size=64m", "/run/postgresql": "mode=3777,size=1m"},
            volumes=[
                f"{self.volume}:/var/lib/postgresql/data",
                f"{self.secrets}:/secrets:ro",
                f"{ROOT / 'docker/postgres'}:/opt/tranship:ro",
            ],
            environment=before if like_before else environment,
            stop_signal="SIGINT",
            detach=True,
        )
        try:
            deadline = time.monotonic() + 120
            while self.ask(container, "select 1")[0] != 0:
                container.reload()
                assert container.status == "running", container.logs().decode()
                assert time.monotonic() < deadline, container.logs().decode()
            yield container
        finally:
            container.remove(force=True)

    def ask(
        self, container: Container, statement: str, role: str = "app", password: str = ""
    ) -> tuple[int, str]:
        """Run a statement as somebody who comes over the network."""
        secret = password or (self.secrets / ("owner" if role == "app" else role)).read_text()
        done = container.exec_run(
            ["psql", "-qAt", "-h", "127.0.0.1", "-U", role, "-d", "app", "-c", statement],
            environment={"PGPASSWORD": secret},
        )
        assert isinstance(done.output, bytes)
        return done.exit_code or 0, done.output.decode().strip()


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    subprocess.run([str(ROOT / "docker/airgap/images.sh")], check=True, timeout=900)
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def server(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Server]:
    volume = engine.volumes.create()
    tmp_path.chmod(0o755)
    for name in ("owner", "guest"):
        (tmp_path / name).write_text(f'{name}\'s "own" $1')
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    yield Server(engine, str(volume.name), tmp_path)
    volume.remove(force=True)


def assert_nobody_is_superuser_over_the_network(server: Server, container: Container) -> None:
    for attack in ATTACKS:
        exit_code, told = server.ask(container, attack)
        assert exit_code != 0, attack
        assert "permission denied" in told or "must be" in told or "not allowed" in told, (
            attack,
            told,
        )
    assert server.ask(container, "select * from kept", "guest")[0] != 0
    assert server.ask(container, "create table mine (x int)", "guest")[0] != 0
    assert server.ask(container, "create temporary table mine (x int)", "guest")[0] != 0
    for password in ('owner\'s "own" $1', "postgres", "x"):
        exit_code, told = server.ask(container, "select 1", "postgres", password)
        assert "password authentication failed" in told
        assert exit_code != 0


def test_a_new_server_has_no_application_that_is_a_superuser(server: Server):
    with server.running() as container:
        assert server.ask(container, "create table kept as select 7 as x") == (0, "")
        assert_nobody_is_superuser_over_the_network(server, container)


def test_a_server_of_the_version_before_becomes_one_and_keeps_what_it_has(server: Server):
    with server.running(like_before=True) as container:
        assert server.ask(container, "select pg_read_file('/etc/hostname')")[0] == 0
        made = (
            "create table kept (id serial primary key, x int); insert into kept (x) values (7); create schema s;"
            "create view s.seen as select x from kept; create materialized view s.stored as select x from kept;"
            "create type s.mood as enum ('calm'); create domain s.small as int check (value < 9);"
            "create sequence s.numbers; create function s.one() returns int language sql as 'select 1';"
            "create procedure s.nothing() language sql as ''; select lo_from_bytea(77, 'x');"
            "create table s.parts (x int) partition by list (x); create table s.part partition of s.parts default"
        )
        assert server.ask(container, made)[0] == 0
        # Killed, as by a power cut, not stopped.
    for _ in range(2):  # the second time there is nothing to do
        with server.running() as container:
            assert_nobody_is_superuser_over_the_network(server, container)
            assert server.ask(container, "select x from s.seen") == (0, "7")
            owners = (
                "select distinct pg_get_userbyid(relowner) from pg_class where relnamespace in"
                " ('public'::regnamespace, 's'::regnamespace)"
            )
            assert server.ask(container, owners) == (0, "app")
    with server.running() as container:
        changed = (
            "insert into kept (x) values (8); alter table kept add y int; refresh materialized view s.stored;"
            "drop function s.one(); drop procedure s.nothing; drop view s.seen; drop domain s.small; drop type s.mood;"
            "drop sequence s.numbers; drop table s.parts; select lo_unlink(77); drop materialized view s.stored;"
            "drop schema s"
        )
        assert server.ask(container, changed) == (0, "1")


def test_a_password_that_is_given_later_is_taken_and_the_old_one_refused(server: Server):
    with server.running() as container:
        pass
    old = (server.secrets / "owner").read_text()
    (server.secrets / "owner").write_text("given later")
    with server.running() as container:
        assert server.ask(container, "select 1") == (0, "1")
        assert "password authentication failed" in server.ask(container, "select 1", "app", old)[1]
        assert "given later" not in container.logs().decode()

"""The servers that are measured with: those of the options, or embedded ones, started when first needed."""

import os
import secrets
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import boto3
import psycopg2
from psycopg2 import sql

from bench.fingerprint import plain
from bench.options import Options
from bench.peers import TARGET_SCHEMA
from bench.source import Source
from standins.embedded import EmbeddedPostgres, EmbeddedRedshift, EmbeddedS3, EmbeddedSqlServer

BUCKET = "tranship-bench"
ROLE = "bench"
SCRAM_ITERATIONS = 4_096
"""Postgres's own default. The embedded server asks for fewer, which one of the clients refuses."""


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A Redshift stand-in with its S3.

    Args:
        url: Of the database.
        endpoint: Of S3.
        role: ARN for COPY and UNLOAD.
        pid: The gateway's process, to look at its memory.
    """

    url: str
    endpoint: str
    role: str
    pid: int


class Systems:
    """Starts what is asked for and stops it at the end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stack = ExitStack()
        self._source: Source | None = None
        self._target = ""
        self._warehouse: Warehouse | None = None
        self._postgres: EmbeddedPostgres | None = None

    def __enter__(self) -> Self:
        place = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tranship-bench-"))
        self.directory = Path(place)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def source_is_real(self) -> bool:
        """Whether the source is a server of the user's, and not the stand-in."""
        return bool(self._options.source)

    @property
    def source(self) -> Source:
        """The SQL Server."""
        if self._source is None:
            url = self._options.source
            if not url:
                server = EmbeddedSqlServer(self.directory / "sqlserver", sample=None)
                url = self._stack.enter_context(server).url()
            self._source = Source(url)
            self._stack.callback(self._source.clean)
        return self._source

    @property
    def target(self) -> str:
        """URL of a Postgres database with an empty schema `bench`."""
        if not self._target:
            url = self._options.target or self._own_database("bench")
            self._execute(url, f"drop schema if exists {TARGET_SCHEMA} cascade")
            self._execute(url, f"create schema {TARGET_SCHEMA}")
            if self._options.target:
                self._stack.callback(
                    self._execute, url, f"drop schema if exists {TARGET_SCHEMA} cascade"
                )
            self._target = url
        return self._target

    @property
    def warehouse(self) -> Warehouse:
        """The Redshift stand-in; also points this process's AWS variables at its S3."""
        if self._warehouse is None:
            s3 = self._stack.enter_context(EmbeddedS3(self.directory / "s3"))
            os.environ.update(s3.environment())
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            role = boto3.client("iam").create_role(RoleName="load", AssumeRolePolicyDocument="{}")
            backend = self._server().create_database("redshift")
            gateway = EmbeddedRedshift(self.directory / "redshift", backend, s3.endpoint)
            self._stack.enter_context(gateway)
            self._execute(gateway.url(), f"create schema {TARGET_SCHEMA}")
            self._warehouse = Warehouse(
                gateway.url(), s3.endpoint, role["Role"]["Arn"], gateway.pid
            )
        return self._warehouse

    def describe_source(self) -> str:
        """What is read from."""
        return self._options.server_note or self.source.product()

    def describe_target(self) -> str:
        """What is written to."""
        with closing(psycopg2.connect(plain(self.target))) as connection:
            version = connection.server_version
        embedded = "" if self._options.target else ", embedded"
        return f"PostgreSQL {version // 10_000}.{version % 10_000}{embedded}"

    def _server(self) -> EmbeddedPostgres:
        if self._postgres is None:
            self._postgres = self._stack.enter_context(
                EmbeddedPostgres(self.directory / "postgres")
            )
        return self._postgres

    def _own_database(self, name: str) -> str:
        url = self._server().create_database(name)
        password = secrets.token_urlsafe(18)
        with closing(psycopg2.connect(plain(url))) as connection, connection.cursor() as cursor:
            cursor.execute(f"set scram_iterations = {SCRAM_ITERATIONS}")
            role = sql.Identifier(ROLE)
            cursor.execute(sql.SQL("create role {} login password %s").format(role), (password,))
            cursor.execute(
                sql.SQL("alter database {} owner to {}").format(sql.Identifier(name), role)
            )
            connection.commit()
        where = urlsplit(url)
        return f"{where.scheme}://{ROLE}:{password}@{where.hostname}:{where.port}{where.path}"

    @staticmethod
    def _execute(url: str, statement: str) -> None:
        with closing(psycopg2.connect(plain(url))) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

"""The stand-in in a child process, steered by its parent: for tests whose driver keeps Python's lock while it waits.

mssql-python does so when it fetches long values as Arrow; a server in the same process could then never answer. Parent and
child speak JSON, a line each way, over the child's standard input and output; the child ends when its input does.
"""

import base64
import contextlib
import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pyarrow as pa

from standins.sqlserver.errors import SqlError
from standins.sqlserver.standin import HeldTransaction, SqlServerStandin

STOP_SECONDS = 20


class SqlServerProcess:
    """A running stand-in in a process of its own, with the methods of `SqlServerStandin`.

    Args:
        password: the password of `user`.
        user: the one login.
        database: the database's name.

    Example:
        >>> with SqlServerProcess(password="Secret123") as server:
        ...     server.faults(drop_after_rows=1000)
    """

    def __init__(
        self, *, password: str, user: str = "sa", database: str = "AdventureWorksDW"
    ) -> None:
        self.user = user
        self.password = password
        self.database = database
        self.host = "127.0.0.1"
        self.port = 0
        self.certificate = Path()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "standins.sqlserver.remote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started = self._ask("start", user=self.user, password=self.password, database=self.database)
        self.port, self.certificate = started["port"], Path(started["certificate"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            self._process.wait(STOP_SECONDS)
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        if self._process is None:
            raise RuntimeError("the stand-in is not started: use it as a context manager")
        return self._process.pid

    def _ask(self, verb: str, **details: object) -> Any:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the stand-in is not started: use it as a context manager")
        self._process.stdin.write(json.dumps({"verb": verb, **details}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"died": true}')
        if "died" in answer:
            raise RuntimeError(f"the stand-in ended with code {self._process.wait(STOP_SECONDS)}")
        if "number" in answer:
            raise SqlError(answer["number"], answer["message"], answer["severity"], answer["state"])
        return answer["result"]

    def execute(self, sql: str) -> None:
        """Runs a T-SQL batch without the wire.

        Raises:
            SqlError: the first error of the batch.
        """
        self._ask("execute", sql=sql)

    def load(self, table: str, batches: Iterable[pa.RecordBatch]) -> int:
        """Appends Arrow batches to a table, by column name; returns the number of rows."""
        total = 0
        for batch in batches:
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            total += self._ask("load", table=table, data=base64.b64encode(sink.getvalue()).decode())
        return total

    def faults(self, **fields: object) -> None:
        """Sets fields of `Faults`; those not given go back to normal."""
        self._ask("faults", fields=fields)

    def become(self, **marks: object) -> None:
        """Lets it be another server or database, or a restored one; see `Database.become`."""
        self._ask("become", marks=marks)

    def restrict(self, **sights: object) -> None:
        """Takes something from the view of the login; see `Database.restrict`."""
        self._ask("restrict", sights=sights)

    def clean_up_changes(self, version: int) -> None:
        """Lets Change Tracking forget what it recorded up to `version`; see `SqlServerStandin.clean_up_changes`."""
        self._ask("clean_up_changes", version=version)

    def restore_changes(self, version: int) -> None:
        """Lets Change Tracking be at `version` again; see `SqlServerStandin.restore_changes`."""
        self._ask("restore_changes", version=version)

    def hold(self, sql: str) -> "RemoteTransaction":
        """Runs a batch in a transaction of its own, and leaves that open.

        Raises:
            SqlError: the first error of the batch.
        """
        number = self._ask("hold", sql=sql)
        return RemoteTransaction(
            lambda verb, **more: self._ask("held", number=number, held=verb, **more)
        )

    def drop_connections(self) -> None:
        """Breaks all connections now."""
        self._ask("drop")

    def waiting(self) -> int:
        """How many sessions wait for a lock now."""
        return self._ask("waiting")

    def connections(self) -> int:
        """How many clients are connected."""
        return self._ask("connections")

    def url(self, *, database: str | None = None, encrypt: str = "no") -> str:
        """A SQLAlchemy address."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"mssql+mssqlpython://{login}@{self.host}:{self.port}/{database or self.database}?Encrypt={encrypt}"

    def odbc(
        self,
        *,
        encrypt: str = "no",
        trust: bool = False,
        password: str | None = None,
        database: str | None = None,
        more: str = "",
    ) -> str:
        """A connection string for `mssql_python.connect`."""
        return (
            f"Server={self.host},{self.port};Database={database or self.database};UID={self.user};PWD={password or self.password};"
            f"Encrypt={encrypt};TrustServerCertificate={'yes' if trust else 'no'};{more}"
        )


class RemoteTransaction:
    """A transaction held open in the child; as `standin.HeldTransaction`."""

    def __init__(self, ask: Callable[..., object]) -> None:
        self._ask = ask

    def run(self, sql: str) -> None:
        """Runs another batch in it."""
        self._ask("run", sql=sql)

    def commit(self) -> None:
        """Ends it; what it did counts from now on."""
        self._ask("commit")

    def rollback(self) -> None:
        """Ends it; what it did never was."""
        self._ask("rollback")


def _perform(
    server: SqlServerStandin, request: dict[str, Any], held: dict[int, HeldTransaction]
) -> object:
    match request["verb"]:
        case "hold":
            number = len(held)
            held[number] = server.hold(request["sql"])
            return number
        case "held":
            transaction = held[request["number"]]
            if request["held"] == "run":
                transaction.run(request["sql"])
            else:
                getattr(transaction, request["held"])()
        case "clean_up_changes":
            server.clean_up_changes(request["version"])
        case "restore_changes":
            server.restore_changes(request["version"])
        case "execute":
            server.execute(request["sql"])
        case "load":
            with pa.ipc.open_stream(base64.b64decode(request["data"])) as reader:
                return server.load(request["table"], list(reader))
        case "faults":
            fresh = dataclasses.replace(type(server.faults)(), **request["fields"])
            for field in dataclasses.fields(fresh):
                setattr(server.faults, field.name, getattr(fresh, field.name))
        case "become":
            server.become(**request["marks"])
        case "restrict":
            server.restrict(**request["sights"])
        case "drop":
            server.drop_connections()
        case "connections":
            return server.connections
        case "waiting":
            return server.waiting
    return None


def main() -> int:
    """The child: answers requests until its input ends."""
    lines = iter(sys.stdin)
    first = json.loads(next(lines))
    with SqlServerStandin(
        password=first["password"], user=first["user"], database=first["database"]
    ) as server:
        _reply({"result": {"port": server.port, "certificate": str(server.certificate)}})
        held: dict[int, HeldTransaction] = {}
        for line in lines:
            try:
                _reply({"result": _perform(server, json.loads(line), held)})
            except SqlError as failure:
                _reply(
                    {
                        "number": failure.number,
                        "message": failure.message,
                        "severity": failure.severity,
                        "state": failure.state,
                    }
                )
    return 0


def _reply(answer: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

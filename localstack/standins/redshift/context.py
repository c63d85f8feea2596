"""What a command may use: the session's backend connection and the services of the whole stand-in."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from standins.redshift.authorization import Authorization, Roles
from standins.redshift.backend import Backend
from standins.redshift.catalogue import Catalogue
from standins.redshift.errors import BackendError, RedshiftError
from standins.redshift.faults import Faults
from standins.redshift.rewrite import SessionSettings
from standins.redshift.statements import literal, quote
from standins.redshift.storage import Storage

#: Fails on purpose, which makes a transaction block a failed one.
REFUSAL = "do $$ begin raise exception 'refused by the gateway'; end $$"


def require_refusal(failure: BackendError) -> None:
    """Raise if a statement failed for any other reason than being `REFUSAL`."""
    if failure.fields.get("C") != "P0001":
        raise failure


class QueryIds:
    """Growing numbers for statements."""

    def __init__(self, first: int) -> None:
        self._next, self._lock = first, threading.Lock()

    def next(self) -> int:
        """A fresh query id."""
        with self._lock:
            self._next += 1
            return self._next


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions share; `running` finds a session by its cancellation key."""

    roles: Roles
    faults: Faults
    ids: QueryIds
    s3_endpoint: str | None
    slices: int = 2
    case_sensitive_names: bool = False
    running: dict[bytes, "Context"] = field(default_factory=dict)


@dataclass
class Context:
    """One session, as its commands see it.

    Attributes:
        notice: sends the client a notice.
        last: values behind pg_last_copy_id() and its kin.
        cancelled: set by a CancelRequest; cleared when a command begins.
    """

    backend: Backend
    services: Services
    catalogue: Catalogue
    user: str
    session_id: int
    notice: Callable[[str], None]
    settings: SessionSettings = field(default_factory=SessionSettings)
    last: dict[str, int] = field(default_factory=dict)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def in_transaction(self) -> bool:
        """Whether the client opened a transaction block."""
        return self.backend.status != b"I"

    async def storage(self, authorization: Authorization | None) -> Storage:
        """S3 as a statement's authorization allows it."""
        roles = self.services.roles
        return await asyncio.to_thread(
            roles.storage, authorization, self.services.s3_endpoint, self.user
        )

    async def run_atomically(self, statements: list[str]) -> None:
        """Run statements in the client's transaction, or in one of their own."""
        if self.in_transaction:
            for sql in statements:
                await self.backend.run(sql)
            return
        await self.backend.run("begin")
        try:
            for sql in statements:
                await self.backend.run(sql)
        except (BackendError, RedshiftError):
            await self.backend.run("rollback")
            raise
        await self.backend.run("commit")

    def lock_statement(self, table: tuple[str, ...] | str) -> str:
        """SQL that takes the writers' lock of a table, given by name or oid."""
        if isinstance(table, str):
            key = literal(table)
        else:
            key = f"coalesce(to_regclass({literal(quote(*table))})::oid, 0)::text"
        return f"select redshift_standin.lock_for_write({key})"

    async def fail_transaction(self) -> None:
        """Put the client's transaction, if any, into the failed state."""
        if self.backend.status == b"T":
            try:
                await self.backend.run(REFUSAL)
            except BackendError as failure:
                require_refusal(failure)

    def last_values_statement(self) -> str:
        """SQL that makes pg_last_copy_id() and its kin return this session's values."""
        calls = [
            f"set_config('redshift_standin.{name}', '{value}', false)"
            for name, value in self.last.items()
        ]
        return "select " + (", ".join(calls) or "1")

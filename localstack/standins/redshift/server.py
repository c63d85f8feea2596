"""The stand-in as a server: `RedshiftStandIn` runs in a thread (tests) or in the main one (command)."""

import asyncio
import contextlib
import ssl
import threading
from dataclasses import dataclass, field
from types import TracebackType

from standins.redshift.authorization import Roles
from standins.redshift.backend import Target
from standins.redshift.catalogue import Catalogue
from standins.redshift.context import QueryIds, Services
from standins.redshift.faults import Faults
from standins.redshift.session import Session


@dataclass(frozen=True, slots=True)
class Options:
    """How a stand-in is set up.

    Attributes:
        postgres: the Postgres behind it (or its URL); the user in it must be a superuser.
        user: the admin user that clients log in as.
        port: 0 takes a free one.
        s3_endpoint: None means AWS itself.
        aws_endpoint: where IAM is asked for roles; defaults to `s3_endpoint`.
        check_roles: whether a role in IAM_ROLE must exist.
        case_sensitive_names: what sessions begin with, as a cluster's parameter group sets it.
    """

    postgres: Target | str
    user: str
    password: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    s3_endpoint: str | None = None
    aws_endpoint: str | None = None
    region: str = "us-east-1"
    default_role: str | None = None
    check_roles: bool = True
    case_sensitive_names: bool = False
    tls_certificate: str | None = None
    tls_key: str | None = None


class RedshiftStandIn:
    """A Redshift-like server in front of a Postgres; for demos and tests only.

    Example:
        ```python
        options = Options(postgres=url, user="admin", password="Secret1", s3_endpoint=s3)
        with RedshiftStandIn(options) as redshift:
            psycopg2.connect(redshift.url)
        ```
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.faults = Faults()
        self.port = 0
        postgres = options.postgres
        self._target = postgres if isinstance(postgres, Target) else Target.from_url(postgres)
        self._catalogues: dict[str, Catalogue] = {}
        self._sessions: set[asyncio.Task[None]] = set()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._services: Services | None = None

    @property
    def url(self) -> str:
        """A libpq URL for the admin user."""
        o = self.options
        return f"postgresql://{o.user}:{o.password}@{o.host}:{self.port}/{self._target.database}"

    async def serve(self, ready: "threading.Event | None" = None) -> None:
        """Listen until `stop` is called."""
        o = self.options
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        first_id = await asyncio.to_thread(self._prepare)
        aws = o.aws_endpoint or o.s3_endpoint
        roles = Roles(aws, o.region, o.default_role, check=o.check_roles)
        self._services = Services(
            roles,
            self.faults,
            QueryIds(first_id),
            o.s3_endpoint,
            case_sensitive_names=o.case_sensitive_names,
        )
        server = await asyncio.start_server(self._accept, o.host, o.port)
        self.port = server.sockets[0].getsockname()[1]
        if ready:
            ready.set()
        try:
            await self._stop.wait()
        finally:
            server.close()
            for task in self._sessions:
                task.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)
            for catalogue in self._catalogues.values():
                catalogue.close()

    def _prepare(self) -> int:
        catalogue = Catalogue(self._target)
        first_id = catalogue.install()
        if self.options.user != self._target.user:
            catalogue.ensure_admin(self.options.user, self.options.password)
        self._catalogues[self._target.database] = catalogue
        return first_id

    async def _catalogue_of(self, database: str) -> Catalogue:
        if database not in self._catalogues:
            target = self._target.with_database(database)
            catalogue = await asyncio.to_thread(Catalogue, target)
            await asyncio.to_thread(catalogue.install)
            self._catalogues.setdefault(database, catalogue)
        return self._catalogues[database]

    def _tls(self) -> ssl.SSLContext | None:
        if self.options.tls_certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.options.tls_certificate, self.options.tls_key)
        return context

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._services is not None
        session = Session(
            reader, writer, self._target, self._services, self._catalogue_of, self._tls()
        )
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await session.run()
        finally:
            self._sessions.discard(task)

    def stop(self) -> None:
        """End `serve`; may be called from any thread or a signal handler."""
        if self._loop and self._stop:
            self._loop.call_soon_threadsafe(self._stop.set)

    def __enter__(self) -> "RedshiftStandIn":
        def work() -> None:
            try:
                asyncio.run(self.serve(self._started))
            except BaseException as error:  # noqa: BLE001 - handed to the starting thread
                self._failure = error
            finally:
                self._started.set()

        self._thread = threading.Thread(target=work, name="redshift-standin", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self._thread:
            self._thread.join(timeout=30)

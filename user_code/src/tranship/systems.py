"""The systems that tables are copied from and to: one list, open to others by the entry point group `tranship.systems`.

A system is a folder with its settings, its Dagster resource, and a `System` that says what it is and makes its source and its
target. Nothing else knows it by name: replication and the command line ask this list.

Example:
    A package of your own makes a system known with

    ```toml
    [project.entry-points."tranship.systems"]
    duckdb = "my_package.duckdb_system:SYSTEM"
    ```
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from tranship.errors import ConfigurationError, TranshipError
from tranship.patterns import select_tables
from tranship.tables import TableName, TableSchema

if TYPE_CHECKING:
    import sqlalchemy as sa

    from tranship.source import Source, SourceRequest
    from tranship.target import Target

GROUP = "tranship.systems"
"""The entry points that make a system known: its kind, and where its `System` is."""

_OURS = {
    "sqlserver": "tranship.sqlserver.system:SYSTEM",
    "postgres": "tranship.postgres.system:SYSTEM",
    "redshift": "tranship.redshift.system:SYSTEM",
}


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """Whether a source records by itself what changes in a table, or what it takes that it does.

    Args:
        is_readable: Whether it does, and this login may follow it.
        refusal: Why it cannot, in a sentence.
        statements: What its owners have to run so that it is readable, as it runs, that of the whole database first.
    """

    is_readable: bool = False
    refusal: str | None = None
    statements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table or view of a source, with what its schema in Arrow terms has no place for.

    Args:
        name: Its name, as the server spells it.
        schema: Columns, primary key, comments. A column that cannot be moved has the Arrow type `null`, and its
            `source_type` says why.
        is_view: Whether it is a view.
        identity: The columns that the server numbers itself.
        computed: The columns that the server computes from others.
        estimated_rows: Rows by the server's own books; `None` for a view, or where it keeps none.
        defaults: What the server fills columns with where a row names no value, by column.
        local_clocks: The columns that it fills from a wall clock without an offset.
        readable_as: Types to read columns as that cannot be moved as they are, in the source's words, by column.
        change_record: What the source itself records of its changes; `None` where it says nothing of it.
    """

    name: TableName
    schema: TableSchema
    is_view: bool = False
    identity: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    estimated_rows: int | None = None
    defaults: Mapping[str, str] = field(default_factory=dict[str, str])
    local_clocks: tuple[str, ...] = ()
    readable_as: Mapping[str, str] = field(default_factory=dict[str, str])
    change_record: ChangeRecord | None = None


class Catalogue(ABC):
    """What tables a source has, and what it knows of each."""

    default_schema: ClassVar[str]

    @property
    @abstractmethod
    def database(self) -> str:
        """The database, for messages."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The server, for messages."""

    @property
    @abstractmethod
    def user(self) -> str:
        """The login, for messages."""

    @abstractmethod
    def present(self) -> dict[TableName, bool]:
        """Every table and view that the login may see, and whether it is a view.

        Raises:
            ConnectionFailedError: The server cannot be reached or refuses the login.
        """

    @abstractmethod
    def inspect(self, tables: Iterable[TableName]) -> dict[TableName, SourceTable]:
        """Everything the catalogue knows of several tables, in the order they are named.

        Raises:
            TableNotFoundError: One of them does not exist; the message has names that are close.
        """

    @abstractmethod
    def sizes(self, tables: Iterable[TableName]) -> dict[TableName, int]:
        """Bytes that tables take on the server with their indexes, for those it tells of."""

    def matching(
        self, patterns: Sequence[str], *, exclude: Sequence[str] = (), views: bool = False
    ) -> list[TableName]:
        """The tables whose `schema.name` matches a pattern and no excluded one, in order of their names.

        Raises:
            TableNotFoundError: A pattern without wildcards names no table.
        """
        names = [name for name, is_view in self.present().items() if views or not is_view]
        return select_tables(
            names,
            patterns,
            exclude=exclude,
            database=self.database,
            default_schema=self.default_schema,
        )


class System(ABC):
    """One kind of system: what it is called, and where it is; see `SourceSystem` and `TargetSystem`."""

    kind: ClassVar[str]
    """What it is called in configuration, and the key that its resource usually has."""
    title: ClassVar[str]
    """What it is called in sentences."""
    resource: ClassVar[str]
    """The name of its Dagster resource's class, whose attribute `system` is the kind."""
    prefix: ClassVar[str]
    """How the variables begin that a deployment says with where it is: `TRANSHIP_POSTGRES_`."""
    schemes: ClassVar[frozenset[str]]
    """What its URLs begin with, without a driver."""
    url_example: ClassVar[str]
    default_schema: ClassVar[str]
    """The schema of a table that is named without one."""

    @abstractmethod
    def settings_of_url(self, url: "sa.URL") -> Any:
        """The settings that a URL means."""

    @abstractmethod
    def settings_of_environment(self, environment: Mapping[str, str], option: str) -> Any:
        """The settings that a deployment's variables mean.

        Args:
            environment: The variables.
            option: What would take a URL instead, for the message.

        Raises:
            ConfigurationError: One is missing.
        """

    def settings(
        self, url: str | None, environment: Mapping[str, str], *, option: str = "source_url"
    ) -> Any:
        """Where it is, by a URL, or by a deployment's variables.

        Args:
            url: A SQLAlchemy URL. Its password may be left to `<prefix>PASSWORD`, so that it does not stand on a
                command line that others can see.
            environment: The variables.
            option: What would take a URL, for the message.

        Raises:
            ConfigurationError: Neither says it.
        """
        if url is None:
            return self.settings_of_environment(environment, f"{option} {self.url_example}")
        parsed = _parsed_url(url, self.title, self.url_example, self.schemes)
        return self.settings_of_url(_with_password(parsed, environment, self.prefix))

    def has_address(self, environment: Mapping[str, str]) -> bool:
        """Whether a deployment's variables say where it is."""
        return bool(environment.get(f"{self.prefix}HOST"))


class SourceSystem(System):
    """A system that tables are copied from."""

    left_out: ClassVar[tuple[str, ...]] = ()
    """Patterns of tables that the server and its tools keep among a user's."""

    @abstractmethod
    def open_source(self, settings: Any, request: "SourceRequest") -> "Source":
        """Look a table up that is to be read.

        Raises:
            TableNotFoundError: There is no such table.
            ConnectionFailedError: The server cannot be reached, or refuses the login.
        """

    @abstractmethod
    def catalogue(
        self,
        settings: Any,
        *,
        connect_seconds: int | None = None,
        answer_seconds: int | None = None,
    ) -> Catalogue:
        """What tables it has.

        Args:
            settings: Where it is.
            connect_seconds: How long to wait for the server; by default as its settings say.
            answer_seconds: How long an answer may take, likewise.
        """

    @abstractmethod
    def fingerprints(
        self,
        settings: Any,
        tables: Sequence[TableName],
        seen: Mapping[TableName, str] | None = None,
    ) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
        """A text for each table that changes when its rows do, and why others have none.

        Args:
            settings: Where they are.
            tables: The tables.
            seen: The text of each table that was looked at before, empty at the first look. A source that records changes
                looks for those since: it gives the same text where there are none, and another one where it cannot tell.
        """


class TargetSystem(System):
    """A system that tables are copied to."""

    keeps_history: ClassVar[bool] = False
    """Whether its target keeps the history of a table beside its copy (`tranship.target.Target.history`)."""

    @abstractmethod
    def open_target(self, settings: Any, *, lock_wait_seconds: float | None = None) -> "Target":
        """The target that settings mean.

        Args:
            settings: Where it is.
            lock_wait_seconds: How long to wait for a load that writes the table; by default as the settings say, and
                of no meaning to a target without locks.
        """

    def target_of(self, resource: Any) -> "Target":
        """The target that a Dagster resource means."""
        return self.open_target(resource.settings())


Role = TypeVar("Role", SourceSystem, TargetSystem)
_WORDS = {SourceSystem: "source", TargetSystem: "target"}


@cache
def _known() -> dict[str, str]:
    """Where each system is, by its kind; ours first."""
    return {**{one.name: one.value for one in entry_points(group=GROUP)}, **_OURS}


def is_known(kind: str) -> bool:
    """Whether there is a system of a kind."""
    return kind in _OURS or kind in _known()


def system(kind: str) -> System:
    """The system of a kind.

    Raises:
        ConfigurationError: There is none, or what its entry point names is none.

    Example:
        >>> system("postgres").title
        'Postgres'
    """
    # Others are looked for only where it is none of ours: that reads the metadata of all that is installed.
    where = _OURS.get(kind) or _known().get(kind)
    if where is None:
        raise ConfigurationError(
            f"{kind!r} is no system that tables are copied from or to.",
            f"Known are {', '.join(_known())}; a package makes another one known by the entry point group {GROUP}.",
        )
    return _loaded(kind, where)


@cache
def _loaded(kind: str, where: str) -> System:
    module, _, name = where.partition(":")
    try:
        loaded = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"The system {kind!r} cannot be loaded from {where}: {error}.",
            "Install what it needs, or correct its package's entry point.",
        ) from error
    if not isinstance(loaded, System) or loaded.kind != kind:
        raise ConfigurationError(
            f"{where}, which is to be the system {kind!r}, is {loaded!r}.",
            "Let the entry point name an instance of a subclass of tranship.systems.System with that kind.",
        )
    return loaded


def systems() -> list[System]:
    """All systems, ours first.

    Example:
        >>> [one.kind for one in systems()][:3]
        ['sqlserver', 'postgres', 'redshift']
    """
    return [system(kind) for kind in [*_OURS, *(one for one in _known() if one not in _OURS)]]


def systems_as(role: type[Role]) -> list[Role]:
    """The systems that can be a source, or a target.

    Args:
        role: `SourceSystem` or `TargetSystem`.

    Example:
        >>> [one.kind for one in systems_as(TargetSystem)][:2]
        ['postgres', 'redshift']
    """
    return [one for one in systems() if isinstance(one, role)]


def system_as(kind: str, role: type[Role]) -> Role:
    """The system of a kind, which must be able to be a source, or a target.

    Args:
        kind: What it is called.
        role: `SourceSystem` or `TargetSystem`.

    Raises:
        ConfigurationError: It is not.
    """
    candidate = system(kind)
    if isinstance(candidate, role):
        return candidate
    kinds = ", ".join(one.kind for one in systems_as(role))
    raise ConfigurationError(
        f"{candidate.title} is no {_WORDS[role]} of tables.", f"Use one of {kinds}."
    )


def system_of_resource(key: str, resource: object, role: type[Role]) -> Role:
    """The system that a Dagster resource is of.

    Args:
        key: The resource's key, for the message.
        resource: The resource; its class says by the attribute `system` of which kind it is.
        role: `SourceSystem` or `TargetSystem`: what it must be able to be.

    Raises:
        ConfigurationError: It is of none, or of one that is not that.
    """
    kind = getattr(resource, "system", None)
    candidate = system(kind) if isinstance(kind, str) else None
    if isinstance(candidate, role):
        return candidate
    resources = " or a ".join(one.resource for one in systems_as(role))
    raise ConfigurationError(
        f'The resource "{key}" is a {type(resource).__name__}; the {_WORDS[role]} of a replication is a {resources}.',
        "Correct source or target in the replication's defs.yaml, or the resource of that key.",
    )


def system_of_url(url: str, role: type[Role]) -> Role:
    """The system that a URL is of, by what it begins with.

    Args:
        url: The URL.
        role: `SourceSystem` or `TargetSystem`: what it must be able to be.

    Raises:
        ConfigurationError: There is none; the message never repeats the URL, as it may hold a password.
    """
    able = systems_as(role)
    schemes = frozenset(scheme for one in able for scheme in one.schemes)
    scheme = _parsed_url(url, _WORDS[role], able[0].url_example, schemes).get_backend_name()
    return next(one for one in able if scheme in one.schemes)


def _parsed_url(url: str, what: str, example: str, allowed: Set[str]) -> "sa.URL":
    """A URL of one of the kinds that are allowed.

    Raises:
        ConfigurationError: It is none; the message never repeats it, as it may hold a password.
    """
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError

    remedy = f"Write {example} and percent-encode special characters of the password."
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # Neither chained nor shown: what cannot be parsed may hold the password.
        raise ConfigurationError(f"The {what}'s URL cannot be read.", remedy) from None
    if parsed.drivername.partition("+")[0] not in allowed:
        raise ConfigurationError(
            f"The {what}'s URL begins with {parsed.drivername}://, not with {' or '.join(sorted(allowed))}.",
            remedy,
        )
    return parsed


def _with_password(url: "sa.URL", environment: Mapping[str, str], prefix: str) -> "sa.URL":
    """The URL with the environment's password where it has none of its own."""
    password = environment.get(f"{prefix}PASSWORD")
    return url.set(password=password) if password and not url.password else url

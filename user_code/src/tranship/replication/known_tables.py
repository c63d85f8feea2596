"""Which tables a source has, as a code location knows them: asked for, or those of the last time where the source does not answer.

A source that is down must not take its tables out of the code location: their schedules, jobs and open alerts would go with them.
"""

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from tranship.errors import ConfigurationError, TranshipError
from tranship.patterns import select_tables, table_not_found
from tranship.systems import Catalogue, SourceSystem
from tranship.tables import TableName

STATE_DIRECTORY = "TRANSHIP_STATE_DIRECTORY"
ANSWER_SECONDS = 30
"""How long the catalogue may take to answer: whoever loads definitions must not wait for ever."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WantedTables:
    """What a replication asks for by name.

    Args:
        key: What the replication is known by.
        patterns: Patterns of tables, each with what it excludes.
        names: Tables that are named.
        views: Whether patterns match views.
    """

    key: str
    patterns: Mapping[str, Sequence[str]]
    names: Sequence[TableName]
    views: bool = False


@dataclass(frozen=True, slots=True)
class KnownTables:
    """The tables that patterns may match, and what is wrong with them.

    Args:
        present: The source's tables, and its views where patterns match them.
        wrong: What is wanted and not there, in sentences.
        not_asked: Why the source could not be asked; `None` where it was.
        as_of: When it answered last, where it could not be asked.
    """

    present: tuple[TableName, ...] = ()
    wrong: tuple[str, ...] = ()
    not_asked: str | None = None
    as_of: str | None = None

    @property
    def complaint(self) -> str | None:
        """What a person has to be told, in sentences; `None` where all is well."""
        if self.not_asked is None:
            return " ".join(self.wrong) or None
        since = f"those of {self.as_of}" if self.as_of else "left out, as none were known before"
        return f"The source cannot be asked for its tables, which are {since}: {self.not_asked}"

    def as_json(self) -> str:
        """The same, for those who build definitions of it."""
        shown = asdict(self)
        return json.dumps({**shown, "present": [[one.schema, one.name] for one in self.present]})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `as_json` made."""
        fields: dict[str, Any] = json.loads(text)
        present = tuple(TableName(schema, name) for schema, name in fields.pop("present"))
        return cls(present=present, wrong=tuple(fields.pop("wrong")), **fields)


def known_tables(
    wanted: WantedTables,
    system: SourceSystem,
    url: str | None,
    environment: Mapping[str, str],
    *,
    connect_seconds: int | None = None,
) -> KnownTables:
    """Ask the source for its tables; where that fails, take those that it had the last time.

    Args:
        wanted: What is asked for by name.
        system: The kind of the source.
        url: The source's address; without one the environment says it.
        environment: Where addresses and `TRANSHIP_STATE_DIRECTORY` are looked for.
        connect_seconds: How long to wait for the server; its own setting by default.
    """
    try:
        settings = system.settings(url, environment)
    except ConfigurationError as error:
        return KnownTables(not_asked=str(error))
    catalogue = system.catalogue(
        settings, connect_seconds=connect_seconds, answer_seconds=ANSWER_SECONDS
    )
    last_answer = _LastAnswer(environment, f"{wanted.key} {catalogue.address}/{catalogue.database}")
    try:
        kinds = catalogue.present()
    except TranshipError as error:
        return last_answer.read(str(error))
    present = tuple(sorted(name for name, is_view in kinds.items() if wanted.views or not is_view))
    known = KnownTables(present, tuple(_wrong(wanted, present, list(kinds), catalogue)))
    last_answer.write(known)
    return known


def _wrong(
    wanted: WantedTables,
    present: Sequence[TableName],
    all_of_them: list[TableName],
    catalogue: Catalogue,
) -> Iterator[str]:
    for pattern, exclude in wanted.patterns.items():
        if not select_tables(
            present, [pattern], exclude=exclude, default_schema=catalogue.default_schema
        ):
            exception = f" but {', '.join(exclude)}" if exclude else ""
            yield (
                f'The pattern {pattern}{exception} matches none of the {len(present)} tables in the database "{catalogue.database}" that '
                "this login may see."
            )
    for name in wanted.names:
        if name not in all_of_them:
            yield str(table_not_found(name, all_of_them, catalogue.database))


class _LastAnswer:
    """The last answer of a source, in a file of this machine."""

    def __init__(self, environment: Mapping[str, str], key: str) -> None:
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        name = re.sub(r"[^A-Za-z0-9]+", "-", key.partition(" ")[0]).strip("-")
        self._path = state_directory(environment) / f"{name}-{digest}.json"

    def read(self, why: str) -> KnownTables:
        try:
            kept = KnownTables.from_json(self._path.read_text(encoding="utf-8"))
            moment = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except (OSError, ValueError, KeyError, TypeError):
            return KnownTables(not_asked=why)
        return KnownTables(kept.present, (), why, f"{moment:%Y-%m-%d %H:%M:%S} UTC")

    def write(self, known: KnownTables) -> None:
        """Keep an answer, whole or not at all."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._path.parent, delete=False
            ) as beside:
                beside.write(known.as_json())
            Path(beside.name).replace(self._path)
        except OSError as error:
            _log.warning(
                "The tables of the source cannot be kept for a time when it is down: %s. Set %s to a folder that may be written.",
                error,
                STATE_DIRECTORY,
            )


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where the last answers are kept: `TRANSHIP_STATE_DIRECTORY`, else the instance's folder, else the user's."""
    if given := environment.get(STATE_DIRECTORY):
        return Path(given)
    if home := environment.get("DAGSTER_HOME"):
        return Path(home) / "tranship"
    own = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(own) / "tranship"

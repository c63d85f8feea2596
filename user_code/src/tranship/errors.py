"""The errors a user meets. Each says what happened, to which table or column, and what to do.

The whole tree, wherever its parts are defined. What is marked "repeated" passes by itself: the library makes the call again
where it can, then the step's retry policy does. All others come back until somebody does what their text says.

    * TranshipError
      * ConfigurationError
        * RunLimitError
      * ConnectionFailedError
        * UnreachableError (repeated, also a TransientError)
      * TransientError (repeated)
      * TableNotFoundError
      * ColumnNotFoundError
      * UnsupportedTypeError
      * ValueDoesNotFitError
      * BatchDoesNotFitError
      * KeyNotComparableError
      * RowsOutsideSliceError
      * WriteFailedError
        * DuplicateRowsError
        * TableHeldError
      * SchemaDriftError
      * BookmarkMovedError
      * ChangesLostError
      * CursorWentBackError
      * DeletionsStoppedError
      * NewSourceError
      * SourceChangedError
      * NotDeliveredError
        * ChannelDownError (repeated, also a TransientError)
        * RecipientsRefusedError
      * ImageNotAvailableError

Nothing here knows Dagster; `tranship.failures` turns these into `dagster.Failure` at the edge.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus


class TranshipError(Exception):
    """Base of every error raised on purpose by this library.

    Args:
        what: What happened, and to which table, column or partition.
        remedy: What the reader can do about it, as one or two sentences.
        details: Facts worth showing apart from the sentence (column, row, value, ids). Never secrets.

    Example:
        >>> str(TranshipError("No such table: dbo.Dimproduct.", "Check the spelling."))
        'No such table: dbo.Dimproduct. Check the spelling.'
    """

    #: Whether the same call may succeed if it is simply made again.
    transient = False

    def __init__(self, what: str, remedy: str = "", *, details: Mapping[str, object] | None = None):
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy
        self.details: dict[str, object] = dict(details or {})

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the state: subclasses' constructors take other arguments than `args` holds."""
        return _restored, (type(self), self.args, vars(self))


def _restored(
    cls: type[TranshipError], args: tuple[object, ...], state: Mapping[str, object]
) -> TranshipError:
    error = cls.__new__(cls, *args)
    vars(error).update(state)
    return error


class ConfigurationError(TranshipError):
    """A setting is missing, contradicts another one, or cannot be used as it stands.

    What to do: Change the setting that the text names.
    """


class ConnectionFailedError(TranshipError):
    """A system refused the connection: credentials, database, certificate, or address.

    What to do: Correct the address or the login, or let its administrator run the statement in the text.
    """


class TransientError(TranshipError):
    """A fault that passes: a lost connection, throttling, a deadlock. The whole call may be repeated.

    What to do: Nothing, unless it comes back after every repetition; then look at the system it names.
    """

    transient = True


class UnreachableError(ConnectionFailedError, TransientError):
    """A system did not answer at its address. It may be starting, so the call may be repeated.

    What to do: If it stays away, check the address, the firewall and whether the system runs.
    """

    transient = True


class TableNotFoundError(TranshipError):
    """A table that was named does not exist, or may not be seen with these credentials.

    What to do: Check the spelling, or let an owner grant the right.
    """


class ColumnNotFoundError(TranshipError):
    """A column that was named is not in the table or in the frame.

    What to do: Check the spelling against the columns that the text lists.
    """


class UnsupportedTypeError(TranshipError):
    """A column's type cannot be moved as it is.

    What to do: Cast the column, exclude it, or declare a type for it.
    """


class ValueDoesNotFitError(TranshipError):
    """A value is outside what the target column can hold.

    What to do: Declare a wider type for the column, or mend the row that the text shows.
    """


class BatchDoesNotFitError(TranshipError):
    """A later batch of a stream has another schema than the first one.

    What to do: Give every batch the columns and types of the first one, or pass a schema.
    """


class KeyNotComparableError(TranshipError):
    """Whether two keys are one and the same for the source cannot be told, or they are one in the copy alone.

    What to do: Take another key, leave its cast out, or compare by bytes, as the text says.
    """


class RowsOutsideSliceError(TranshipError):
    """Rows do not belong to the partition or key range that is being replaced.

    What to do: Filter the rows to the partition, or correct the column that it is of.
    """


class WriteFailedError(TranshipError):
    """The target refused the write. The old rows are untouched.

    What to do: The text has the target's own words; mend what it names and write again.
    """


class DuplicateRowsError(WriteFailedError):
    """Rows have the same key. Reading them while they move doubles rows, so it may be the read's fault.

    What to do: Remove the duplicates, name more key columns, or read from a snapshot.
    """


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One difference between incoming rows and the table that is there.

    Args:
        column: The column's name.
        incoming: Its type in the incoming rows; `None` where the rows lack it.
        existing: Its type in the table; `None` where the table lacks it.
        sentence: What differs, where it is not the type.
    """

    column: str
    incoming: str | None
    existing: str | None
    sentence: str | None = None

    def __str__(self) -> str:
        if self.sentence is not None:
            return self.sentence
        if self.existing is None:
            return f'"{self.column}" ({self.incoming}) is new: the table has no such column'
        if self.incoming is None:
            return f'"{self.column}" ({self.existing}) is missing from the incoming rows'
        return f'"{self.column}" is {self.incoming} in the incoming rows and {self.existing} in the table'


class SchemaDriftError(TranshipError):
    """The incoming rows do not have the columns or types of the table that is there.

    What to do: Let the table follow with `on_schema_change: evolve`, make it anew with `rebuild`, or correct the rows.

    Example:
        >>> error = SchemaDriftError("public.stg_a", [ColumnDrift("Size", "text", "integer")], "...")
        >>> error.drifts[0].column
        'Size'
    """

    def __init__(self, table: object, drifts: Sequence[ColumnDrift], remedy: str):
        listed = "; ".join(str(drift) for drift in drifts)
        super().__init__(
            f"The schema of {table} has drifted: {listed}.",
            remedy,
            details={f"drift: {drift.column}": str(drift) for drift in drifts},
        )
        self.drifts = tuple(drifts)


def redact(text: str, secrets: Iterable[str | None]) -> str:
    """Replace every secret that occurs in a text by asterisks.

    Drivers repeat connection strings in their messages; no message leaves this library unredacted.
    A secret is found as it is, percent-encoded as in a URL, and with doubled braces as in ODBC.

    Args:
        text: A message that a driver or server gave.
        secrets: The secrets in use; `None` and empty ones are passed over.

    Returns:
        The text without them.

    Example:
        >>> redact("PWD=hunter2; login failed", ["hunter2"])
        'PWD=***; login failed'
    """
    spellings = {
        spelling
        for secret in secrets
        if secret
        for spelling in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            quote_plus(secret),
            secret.replace("}", "}}"),
        )
    }
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, "***")
    return text

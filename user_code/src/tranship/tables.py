"""What a table is, in Arrow terms: its name, its columns with their source types, its key.

Readers describe a source with these values and writers create targets from them; a schema travels
with its record batches as Arrow metadata, so nothing is guessed from the data.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import pyarrow as pa

from tranship.arrow_types import ArrowField
from tranship.equality import TextEquality
from tranship.errors import ColumnNotFoundError, ConfigurationError
from tranship.visibility import Visibility

SOURCE_TYPE_KEY = b"tranship.source_type"
COMMENT_KEY = b"tranship.comment"
EQUALITY_KEY = b"tranship.text_equality"
PRIMARY_KEY_KEY = b"tranship.primary_key"

_NAME_PART = re.compile(r'\[((?:[^\]]|\]\])+)\]|"((?:[^"]|"")+)"|([^.\[\]"]+)')
_TYPE = re.compile(
    r"^\s*([a-z_][a-z0-9_ ]*?)\s*(?:\(\s*(max|\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*((?:\[\])*)\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table's schema and name, exactly as the system spells them.

    Example:
        >>> TableName.parse("[dbo].[Order Details]", default_schema="public")
        TableName(schema='dbo', name='Order Details')
        >>> str(TableName("public", "stg_DimProduct"))
        'public.stg_DimProduct'
    """

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str, *, default_schema: str) -> Self:
        """Read `name` or `schema.name`, each part plain, `[bracketed]` or `"quoted"`.

        Args:
            text: The name as a person writes it.
            default_schema: The schema of a name without one.

        Raises:
            ConfigurationError: The text is not one or two name parts.
        """
        parts: list[str] = []
        position = 0
        while (match := _NAME_PART.match(text, position)) is not None:
            bracketed, quoted, plain = match.groups()
            if bracketed is not None:
                parts.append(bracketed.replace("]]", "]"))
            elif quoted is not None:
                parts.append(quoted.replace('""', '"'))
            else:
                parts.append(plain.strip())
            position = match.end()
            if position == len(text) or text[position] != ".":
                break
            position += 1
        dangling = text.endswith(".")
        if position != len(text) or dangling or not 1 <= len(parts) <= 2 or not all(parts):
            raise ConfigurationError(
                f"{text!r} is not a table name.",
                "Write schema.table; put a part that has dots or brackets in [square brackets].",
            )
        return cls(*parts) if len(parts) == 2 else cls(default_schema, parts[0])

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class SourceType:
    """A column's declared type in the system it comes from.

    Args:
        name: The type's name in lower case, such as `nvarchar` or `datetimeoffset`; an array's with `[]` behind it.
        length: Declared length: characters for n-types, bytes for the others; `None` where the
            type has none, and for `max`.
        precision: Total digits of a decimal, or fractional digits of a time type.
        scale: Digits after the decimal point.

    Example:
        >>> SourceType.parse("decimal(19, 4)")
        SourceType(name='decimal', length=None, precision=19, scale=4)
        >>> str(SourceType.parse("nvarchar(50)")), str(SourceType.parse("numeric(9,2)[]"))
        ('nvarchar(50)', 'numeric(9,2)[]')
    """

    name: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a type as it stands in DDL.

        Raises:
            ConfigurationError: The text is not a type declaration.
        """
        match = _TYPE.match(text)
        if match is None:
            raise ConfigurationError(
                f"{text!r} is not a column type.", "Write it as in DDL: nvarchar(50)."
            )
        element, first, second, brackets = match[1].lower(), match[2], match[3], match[4]
        name = f"{element}{brackets}"
        if first is None or first.lower() == "max":
            return cls(name)
        if second is not None:
            return cls(name, precision=int(first), scale=int(second))
        if "char" in name or "binary" in name:
            return cls(name, length=int(first))
        if element in {"decimal", "numeric"}:
            return cls(name, precision=int(first), scale=0)
        return cls(name, precision=int(first))

    def __str__(self) -> str:
        name, bracket, rest = self.name.partition("[")
        return f"{name}{self._modifiers}{bracket}{rest}"

    @property
    def _modifiers(self) -> str:
        if self.length is not None:
            return f"({self.length})"
        if self.scale is not None:
            return f"({self.precision},{self.scale})"
        if self.precision is not None:
            return f"({self.precision})"
        return "(max)" if self.name in {"varchar", "nvarchar", "varbinary"} else ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, Arrow type, and what its source says about it.

    Args:
        name: Its name.
        type: Its Arrow type.
        nullable: Whether it may be null.
        source_type: Its declared type in its source.
        comment: Its comment.
        equality: Which of its texts its source takes for one and the same; `None` where bytes tell.

    Example:
        >>> column = Column("Size", pa.large_string(), source_type=SourceType.parse("nvarchar(50)"))
        >>> Column.from_field(column.to_field()) == column
        True
    """

    name: str
    type: pa.DataType
    nullable: bool = True
    source_type: SourceType | None = None
    comment: str | None = None
    equality: TextEquality | None = None

    @classmethod
    def from_field(cls, arrow_field: ArrowField) -> Self:
        """Read a column from an Arrow field and its metadata."""
        metadata = arrow_field.metadata or {}
        source_type = metadata.get(SOURCE_TYPE_KEY)
        comment = metadata.get(COMMENT_KEY)
        equality = metadata.get(EQUALITY_KEY)
        return cls(
            name=arrow_field.name,
            type=arrow_field.type,
            nullable=arrow_field.nullable,
            source_type=SourceType.parse(source_type.decode()) if source_type else None,
            comment=comment.decode() if comment else None,
            equality=TextEquality.from_text(equality.decode()) if equality else None,
        )

    def to_field(self) -> ArrowField:
        """The Arrow field that carries this column through a stream."""
        metadata: dict[bytes | str, bytes | str] = {}
        if self.source_type is not None:
            metadata[SOURCE_TYPE_KEY] = str(self.source_type).encode()
        if self.comment:
            metadata[COMMENT_KEY] = self.comment.encode()
        if self.equality is not None:
            metadata[EQUALITY_KEY] = self.equality.to_text().encode()
        return pa.field(self.name, self.type, self.nullable, metadata or None)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table's columns in order, its primary key, and its comment.

    Example:
        >>> schema = TableSchema((Column("id", pa.int32(), nullable=False),), primary_key=("id",))
        >>> TableSchema.from_arrow(schema.to_arrow()) == schema
        True
    """

    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = field(default=())
    comment: str | None = None
    visibility: Visibility = field(default=Visibility(), compare=False, repr=False)

    @classmethod
    def from_arrow(cls, schema: pa.Schema) -> Self:
        """Read a table's schema from an Arrow schema and its metadata."""
        metadata = schema.metadata or {}
        key = metadata.get(PRIMARY_KEY_KEY)
        comment = metadata.get(COMMENT_KEY)
        return cls(
            columns=tuple(Column.from_field(arrow_field) for arrow_field in schema),
            primary_key=tuple(json.loads(key)) if key else (),
            comment=comment.decode() if comment else None,
        )

    def to_arrow(self) -> pa.Schema:
        """The Arrow schema that carries this one through a stream."""
        metadata: dict[bytes | str, bytes | str] = {}
        if self.primary_key:
            metadata[PRIMARY_KEY_KEY] = json.dumps(self.primary_key).encode()
        if self.comment:
            metadata[COMMENT_KEY] = self.comment.encode()
        return pa.schema([column.to_field() for column in self.columns], metadata or None)

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that exact name.

        Raises:
            ColumnNotFoundError: There is none; the message lists those there are.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise column_not_found([name], self.names)

    def equalities(self, names: Iterable[str]) -> dict[str, TextEquality]:
        """How texts of these columns are compared, for those that bytes do not tell."""
        wanted = set(names)
        return {
            column.name: column.equality
            for column in self.columns
            if column.name in wanted and column.equality is not None
        }

    def select(self, names: Sequence[str]) -> Self:
        """The same schema with only these columns, in this order.

        The primary key is kept only where all of it is selected.

        Raises:
            ColumnNotFoundError: One of the names is not a column.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise column_not_found(missing, self.names)
        kept = self.primary_key if set(self.primary_key) <= set(names) else ()
        return replace(self, columns=tuple(self.column(name) for name in names), primary_key=kept)


def column_not_found(missing: Iterable[str], present: Iterable[str]) -> ColumnNotFoundError:
    """The error for names that are not columns of a table, listing those that are."""
    listed = ", ".join(f'"{name}"' for name in missing)
    known = ", ".join(f'"{name}"' for name in present)
    return ColumnNotFoundError(f"No such column: {listed}.", f"The columns are {known}.")


def is_text(type_: pa.DataType) -> bool:
    """Whether an Arrow type holds texts, in whichever of Arrow's layouts."""
    return (
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )


def is_binary(type_: pa.DataType) -> bool:
    """Whether an Arrow type holds bytes, in whichever of Arrow's layouts."""
    return (
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_fixed_size_binary(type_)
        or pa.types.is_binary_view(type_)
    )

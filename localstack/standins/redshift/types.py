"""Redshift's column types: how each is written in Postgres, and what a table's columns are.

https://docs.aws.amazon.com/redshift/latest/dg/c_Supported_data_types.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from standins.redshift.errors import UNSUPPORTED, RedshiftError
from standins.redshift.statements import Cursor, literal, quote

MAX_VARCHAR_BYTES = 65_535
MAX_CHAR_BYTES = 4_096
DEFAULT_VARCHAR_BYTES = 256
MAX_DECIMAL_DIGITS = 38

_PLAIN = {
    "SMALLINT": "smallint", "INT2": "smallint", "INTEGER": "integer", "INT": "integer",
    "INT4": "integer", "BIGINT": "bigint", "INT8": "bigint", "REAL": "real", "FLOAT4": "real",
    "FLOAT8": "double precision", "BOOLEAN": "boolean", "BOOL": "boolean", "DATE": "date",
    "DATETIME": "timestamp", "TIMESTAMPTZ": "timestamptz", "TIMETZ": "timetz", "SUPER": "jsonb",
}  # fmt: skip
_VARCHARS = {"VARCHAR", "NVARCHAR", "TEXT"}
_CHARS = {"CHAR", "CHARACTER", "NCHAR", "BPCHAR"}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column type in Postgres' words.

    Attributes:
        sql: the type for Postgres.
        max_bytes: the length in bytes to enforce, for character types.
        is_char: whether it is CHAR, not VARCHAR.
    """

    sql: str
    max_bytes: int | None = None
    is_char: bool = False

    def check(self, column: str) -> str | None:
        """A CHECK constraint that counts bytes: Postgres' own limit counts characters.

        The limit is in the constraint's name, from where errors.py takes it.
        """
        if self.max_bytes is None:
            return None
        name = f"rsbytes_{'c' if self.is_char else ''}{self.max_bytes}_{column}"
        name = name.encode()[:63].decode(errors="ignore")
        return f"constraint {quote(name)} check (octet_length({quote(column)}) <= {self.max_bytes})"


def _length(cursor: Cursor, default: int, largest: int, kind: str) -> int:
    if not cursor.accept("("):
        return default
    if cursor.accept("MAX"):
        cursor.expect(")")
        return largest
    token = cursor.next()
    if not token.text.isdigit():
        raise RedshiftError(f'syntax error at or near "{token.text}"', "42601")
    length = int(token.text)
    cursor.expect(")")
    if length > largest:
        raise RedshiftError(f"length for type {kind} cannot exceed {largest}", "22023")
    if length < 1:
        raise RedshiftError(f"length for type {kind} must be at least 1", "22023")
    return length


def _decimal(cursor: Cursor) -> ColumnType:
    precision, scale = 18, 0
    if cursor.accept("("):
        precision = int(cursor.next().text)
        if cursor.accept(","):
            scale = int(cursor.next().text)
        cursor.expect(")")
    if not 1 <= precision <= MAX_DECIMAL_DIGITS:
        text = f"DECIMAL precision {precision} must be between 1 and {MAX_DECIMAL_DIGITS}"
        raise RedshiftError(text, "22023")
    if not 0 <= scale <= min(precision, 37):
        text = f"DECIMAL scale {scale} must be between 0 and precision {precision}"
        raise RedshiftError(text, "22023")
    return ColumnType(f"numeric({precision},{scale})")


def _time(cursor: Cursor, word: str) -> ColumnType:
    if cursor.accept("("):
        cursor.next()
        cursor.expect(")")
    if cursor.accept("WITH", "TIME", "ZONE"):
        return ColumnType(word.lower() + "tz")
    cursor.accept("WITHOUT", "TIME", "ZONE")
    return ColumnType(word.lower())


def read_type(cursor: Cursor, column: str) -> ColumnType:
    """Read a column type.

    Raises:
        RedshiftError: Redshift has no such type, or its length is out of range.
    """
    word = cursor.peek()
    cursor.next()
    if word == "DOUBLE":
        cursor.expect("PRECISION")
        kind = ColumnType("double precision")
    elif word == "FLOAT":
        digits = _length(cursor, 53, 53, "float")
        kind = ColumnType("real" if digits < 25 else "double precision")
    elif word in {"DECIMAL", "NUMERIC"}:
        kind = _decimal(cursor)
    elif word in {"TIME", "TIMESTAMP"}:
        kind = _time(cursor, word)
    elif word in {"VARBYTE", "VARBINARY"} or (word == "BINARY" and cursor.accept("VARYING")):
        _length(cursor, 64_000, 1_024_000, "varbyte")
        kind = ColumnType("bytea")
    elif word in _VARCHARS or (word in _CHARS and cursor.accept("VARYING")):
        length = _length(cursor, DEFAULT_VARCHAR_BYTES, MAX_VARCHAR_BYTES, "varchar")
        kind = ColumnType(f"varchar({length})", length)
    elif word in _CHARS:
        default = DEFAULT_VARCHAR_BYTES if word == "BPCHAR" else 1
        length = _length(cursor, default, MAX_CHAR_BYTES, "char")
        kind = ColumnType(f"char({length})", length, is_char=True)
    elif word in _PLAIN:
        kind = ColumnType(_PLAIN[word])
    else:
        raise RedshiftError(
            f'Column "{column}" has unsupported type "{word.lower()}".', UNSUPPORTED
        )
    if cursor.peek() == "[" or cursor.peek() == "ARRAY":
        text = f'Column "{column}" has unsupported type "{word.lower()}[]".'
        raise RedshiftError(text, UNSUPPORTED)
    return kind


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table as COPY needs it.

    Attributes:
        kind: `format_type` without a length, e.g. `numeric`, `character varying`, `jsonb`.
        modifier: pg_attribute.atttypmod.
        identity: `a` or `d` for an IDENTITY column, else empty.
    """

    name: str
    kind: str
    modifier: int
    not_null: bool
    identity: str
    has_default: bool

    @property
    def max_bytes(self) -> int | None:
        """The length in bytes of a character column."""
        characters = self.kind in {"character varying", "character"}
        return self.modifier - 4 if characters and self.modifier > 4 else None

    @property
    def precision(self) -> int:
        """Digits of a numeric column."""
        return (self.modifier - 4) >> 16 & 0xFFFF

    @property
    def scale(self) -> int:
        """Digits after the point of a numeric column."""
        return (self.modifier - 4) & 0x7FF

    @property
    def redshift_type(self) -> str:
        """The type's name in Redshift's messages."""
        names = {
            "jsonb": "super", "bytea": "varbyte", "character varying": "varchar",
            "character": "char", "timestamp without time zone": "timestamp",
            "timestamp with time zone": "timestamptz", "smallint": "int2", "integer": "int4",
            "bigint": "int8", "real": "float4", "double precision": "float8",
            "time without time zone": "time", "boolean": "bool",
        }  # fmt: skip
        return names.get(self.kind, self.kind)


def columns_query(table: Sequence[str]) -> str:
    """SQL that lists a table: one row per column, preceded by its oid, kind and rights."""
    name = literal(quote(*table))
    return f"""
        select c.oid, c.relkind, has_table_privilege(c.oid, 'insert'), a.attname,
            format_type(a.atttypid, null), a.atttypmod, a.attnotnull, a.attidentity, a.atthasdef,
            n.nspname
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0
            and not a.attisdropped
        where c.oid = to_regclass({name}) order by a.attnum
    """

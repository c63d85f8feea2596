"""CREATE TABLE: Redshift's types, distribution, sorting, encodings and informational keys.

https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html. Keys are not enforced, but a
primary key's columns are NOT NULL. Everything Postgres cannot keep goes to the catalogue's tables.
"""

from dataclasses import dataclass, field

from standins.redshift.errors import UNSUPPORTED, RedshiftError
from standins.redshift.rewrite import SessionSettings, check_column, rewrite
from standins.redshift.statements import Cursor, Statement, literal, quote, split
from standins.redshift.types import read_type

_ENCODINGS = {
    "AUTO", "AZ64", "BYTEDICT", "DELTA", "DELTA32K", "LZO", "MOSTLY8", "MOSTLY16", "MOSTLY32",
    "RAW", "RUNLENGTH", "TEXT255", "TEXT32K", "ZSTD",
}  # fmt: skip
_ATTRIBUTE_WORDS = {
    "DISTSTYLE", "DISTKEY", "SORTKEY", "COMPOUND", "INTERLEAVED", "ENCODE", "BACKUP",
}  # fmt: skip


@dataclass
class TableAttributes:
    """What Redshift keeps of a table and Postgres cannot."""

    diststyle: str | None = None
    distkey: str | None = None
    sortkeys: list[str] = field(default_factory=list)
    interleaved: bool = False
    backup: bool = True
    primary_key: list[str] = field(default_factory=list)
    encodings: dict[str, str] = field(default_factory=dict)

    @property
    def shown_diststyle(self) -> str:
        """As SVV_TABLE_INFO shows it."""
        if self.distkey:
            return f"KEY({self.distkey})"
        return self.diststyle or "AUTO(ALL)"

    def check(self, columns: list[str]) -> None:
        """Refuse keys on columns that do not exist, and contradictions."""
        for kind, names in (("distribution", [self.distkey]), ("sort", self.sortkeys)):
            for name in names:
                if name is not None and columns and name not in columns:
                    text = f'{kind} key column "{name}" named in key does not exist'
                    raise RedshiftError(text.replace("distribution key ", "distkey "), "42703")
        if self.distkey and self.diststyle in {"EVEN", "ALL"}:
            text = f"Cannot specify DISTKEY when DISTSTYLE is {self.diststyle}"
            raise RedshiftError(text, UNSUPPORTED)
        if self.diststyle == "KEY" and not self.distkey:
            raise RedshiftError("DISTSTYLE KEY requires a DISTKEY column", "42601")

    def statements(self, table: tuple[str, ...]) -> list[str]:
        """SQL that notes the attributes of a table that exists by now."""
        relation = f"to_regclass({literal(quote(*table))})"
        keys = ", ".join(map(literal, self.sortkeys))
        primary = ", ".join(map(literal, self.primary_key))
        distkey = "null" if self.distkey is None else literal(self.distkey)
        found = [
            f"""insert into redshift_standin.table_attributes
                (relid, diststyle, distkey, sortkeys, interleaved, backup, primary_key)
            select c.oid, {literal(self.shown_diststyle)}, {distkey}, array[{keys}]::text[],
                {self.interleaved}, {self.backup}, array[{primary}]::text[]
            from pg_catalog.pg_class c where c.oid = {relation}
            on conflict (relid) do nothing"""
        ]
        for column, encoding in self.encodings.items():
            found.append(encoding_statement(table, column, encoding))
        return found


def encoding_statement(table: tuple[str, ...], column: str, encoding: str) -> str:
    """SQL that notes a column's encoding."""
    return f"""insert into redshift_standin.column_encodings
        select attrelid, attnum, {literal(encoding)} from pg_catalog.pg_attribute
        where attrelid = to_regclass({literal(quote(*table))}) and attname = {literal(column)}
        on conflict (relid, attnum) do update set encoding = excluded.encoding"""


def accept_attribute(cursor: Cursor, attributes: TableAttributes) -> bool:
    """Read one table attribute if it comes next."""
    if cursor.accept("DISTSTYLE"):
        attributes.diststyle = cursor.next().text.upper()
        if attributes.diststyle not in {"EVEN", "ALL", "KEY", "AUTO"}:
            raise RedshiftError(f'invalid DISTSTYLE "{attributes.diststyle}"', "42601")
    elif cursor.accept("DISTKEY"):
        names = cursor.names_in_parentheses()
        if len(names) > 1:
            raise RedshiftError("only one column can be the distribution key", "42601")
        attributes.distkey = names[0]
    elif cursor.peek() in {"SORTKEY", "COMPOUND", "INTERLEAVED"}:
        attributes.interleaved = cursor.accept("INTERLEAVED")
        cursor.accept("COMPOUND")
        cursor.expect("SORTKEY")
        if cursor.accept("AUTO") or cursor.accept("NONE"):
            return True
        attributes.sortkeys = cursor.names_in_parentheses()
    elif cursor.accept("ENCODE", "AUTO"):
        pass
    elif cursor.accept("BACKUP"):
        attributes.backup = cursor.next().text.upper() == "YES"
    else:
        return False
    return True


def copied_attributes(table: tuple[str, ...], source: tuple[str, ...]) -> list[str]:
    """SQL that gives a table made by LIKE the distribution, sorting and encodings of its source."""
    new, old = (f"to_regclass({literal(quote(*name))})" for name in (table, source))
    return [
        f"""insert into redshift_standin.table_attributes
            (relid, diststyle, distkey, sortkeys, interleaved)
        select {new}, diststyle, distkey, sortkeys, interleaved
        from redshift_standin.table_attributes where relid = {old}
        on conflict (relid) do nothing""",
        f"""insert into redshift_standin.column_encodings
        select {new}, attnum, encoding from redshift_standin.column_encodings where relid = {old}
        on conflict (relid, attnum) do nothing""",
    ]


@dataclass(frozen=True, slots=True)
class CreateTable:
    """A CREATE TABLE translated: statements to run in order, within one transaction."""

    table: tuple[str, ...]
    statements: list[str]


def is_create_table(statement: Statement) -> bool:
    """Whether the statement creates a table."""
    words = statement.words
    if words[:1] != ["CREATE"]:
        return False
    skipped = [w for w in words[1:4] if w not in {"TEMP", "TEMPORARY", "LOCAL", "GLOBAL"}]
    return skipped[:1] == ["TABLE"]


def create_table(statement: Statement, *, fold: bool = True) -> CreateTable:
    """Translate CREATE TABLE, with column definitions or LIKE.

    Raises:
        RedshiftError: Redshift would refuse it.
    """
    cursor = Cursor(statement)
    cursor.expect("CREATE")
    temporary = False
    while cursor.peek() != "TABLE":
        word = cursor.next().text.upper()
        temporary = temporary or word in {"TEMP", "TEMPORARY"}
    cursor.expect("TABLE")
    absent = cursor.accept("IF", "NOT", "EXISTS")
    table = cursor.qualified_name(fold=fold)
    if table[-1].startswith("#"):
        temporary, table = True, table[-1:]
    attributes = TableAttributes()
    cursor.expect("(")
    like = Cursor(statement, cursor.position)
    source = like.qualified_name(fold=fold) if like.accept("LIKE") else None
    parts, columns = _elements(cursor, attributes, table, fold=fold)
    while not cursor.done:
        if not accept_attribute(cursor, attributes):
            raise cursor.unexpected()
    attributes.check(columns)
    verb = f"create {'temporary ' if temporary else ''}table {'if not exists ' if absent else ''}"
    body = ",\n    ".join(parts)
    sql = f"{verb}{quote(*table)} (\n    {body}\n)"
    copied = copied_attributes(table, source) if source else []
    return CreateTable(table, [sql, *copied, *attributes.statements(table)])


def create_table_as(statement: Statement, settings: SessionSettings) -> CreateTable:
    """Translate CREATE TABLE ... AS: attributes go between the name and AS.

    Raises:
        RedshiftError: Redshift would refuse it.
    """
    fold = not settings.case_sensitive_names
    cursor = Cursor(statement)
    while not cursor.accept("TABLE"):
        cursor.next()
    head = statement.text[: cursor.token.start]
    absent = cursor.accept("IF", "NOT", "EXISTS")
    table = cursor.qualified_name(fold=fold)
    listed = cursor.names_in_parentheses(fold=fold) if cursor.peek() == "(" else []
    attributes = TableAttributes()
    while not cursor.accept("AS"):
        if not accept_attribute(cursor, attributes):
            raise cursor.unexpected()
    query = rewrite(split(statement.text[cursor.token.start :])[0], settings)
    names = f" ({', '.join(map(quote, listed))})" if listed else ""
    sql = f"{head}{'if not exists ' if absent else ''}{quote(*table)}{names} as {query}"
    relation = f"to_regclass({literal(quote(*table))})::oid"
    sized = f"select redshift_standin.size_columns({relation})"
    return CreateTable(table, [sql, sized, *attributes.statements(table)])


def _elements(
    cursor: Cursor, attributes: TableAttributes, table: tuple[str, ...], *, fold: bool
) -> tuple[list[str], list[str]]:
    parts, columns, checks = [], [], []
    while True:
        if cursor.accept("LIKE"):
            parts.append(_like(cursor))
        elif not _accept_constraint(cursor, attributes):
            name = cursor.name(fold=fold)
            check_column(name)
            columns.append(name)
            part, check = read_column(cursor, name, attributes, table[-1])
            parts.append(part)
            checks += [check] if check else []
        if not cursor.accept(","):
            break
    cursor.expect(")")
    for name in attributes.primary_key:
        for index, column in enumerate(columns):
            if column == name and not parts[index].endswith(" not null"):
                parts[index] += " not null"
    return [*parts, *checks], columns


def _like(cursor: Cursor) -> str:
    source = quote(*cursor.qualified_name())
    options = "including constraints including comments"
    while cursor.peek() in {"INCLUDING", "EXCLUDING"}:
        including = cursor.next().text.upper() == "INCLUDING"
        cursor.expect("DEFAULTS")
        options += " including defaults" if including else ""
    return f"like {source} {options}"


def _accept_constraint(cursor: Cursor, attributes: TableAttributes) -> bool:
    if cursor.accept("CONSTRAINT"):
        cursor.name()
    if cursor.accept("PRIMARY", "KEY"):
        attributes.primary_key = cursor.names_in_parentheses()
    elif cursor.peek() == "UNIQUE" and cursor.peek(1) == "(":
        cursor.next()
        cursor.names_in_parentheses()
    elif cursor.accept("FOREIGN", "KEY"):
        cursor.names_in_parentheses()
        _references(cursor)
    elif cursor.peek() == "CHECK":
        raise RedshiftError("CHECK constraints are not supported", UNSUPPORTED)
    else:
        return False
    return True


def _references(cursor: Cursor) -> None:
    cursor.expect("REFERENCES")
    cursor.qualified_name()
    if cursor.peek() == "(":
        cursor.names_in_parentheses()


def read_column(
    cursor: Cursor, name: str, attributes: TableAttributes, table: str
) -> tuple[str, str | None]:
    """Read a column's type and attributes; returns its definition and its byte-length check."""
    kind = read_type(cursor, f"{table}.{name}")
    words = [quote(name), kind.sql]
    not_null = False
    while cursor.peek() not in {",", ")", ""}:
        if cursor.accept("DEFAULT"):
            words.append("default " + expression(cursor))
        elif cursor.accept("NOT", "NULL"):
            not_null = True
        elif cursor.accept("NULL") or cursor.accept("UNIQUE"):
            pass
        elif cursor.accept("PRIMARY", "KEY"):
            attributes.primary_key = [name]
        elif cursor.peek() == "REFERENCES":
            _references(cursor)
        elif cursor.accept("IDENTITY"):
            words.append(_identity(cursor, "always"))
        elif cursor.accept("GENERATED", "BY", "DEFAULT", "AS", "IDENTITY"):
            words.append(_identity(cursor, "by default"))
        elif cursor.accept("DISTKEY"):
            attributes.distkey = name
        elif cursor.accept("SORTKEY"):
            attributes.sortkeys = [*attributes.sortkeys, name]
        elif cursor.accept("ENCODE"):
            attributes.encodings[name] = _encoding(cursor)
        elif cursor.accept("COLLATE"):
            cursor.next()
        else:
            raise cursor.unexpected()
    words += ["not null"] if not_null else []
    return " ".join(words), kind.check(name)


def _encoding(cursor: Cursor) -> str:
    word = cursor.next().text.upper()
    if word not in _ENCODINGS:
        raise RedshiftError(
            f'invalid encoding type specified for column: "{word.lower()}"', "42601"
        )
    return "none" if word == "RAW" else word.lower()


def _identity(cursor: Cursor, when: str) -> str:
    cursor.expect("(")
    seed = _integer(cursor)
    cursor.expect(",")
    step = _integer(cursor)
    cursor.expect(")")
    bound = f"minvalue {min(seed, 1)}" if step > 0 else f"maxvalue {max(seed, -1)}"
    return f"generated {when} as identity (start with {seed} increment by {step} {bound})"


def _integer(cursor: Cursor) -> int:
    sign = -1 if cursor.accept("-") else 1
    return sign * int(cursor.next().text)


def expression(cursor: Cursor) -> str:
    """Read a DEFAULT expression up to the next column attribute, as it was written."""
    start, end, depth = cursor.token.start, cursor.token.start, 0
    stops = {"NOT", "NULL", "UNIQUE", "PRIMARY", "REFERENCES", "COLLATE", ",", ")"}
    stops |= _ATTRIBUTE_WORDS
    while not cursor.done:
        word = cursor.peek()
        if depth == 0 and word in stops and end > start:
            break
        depth += {"(": 1, ")": -1}.get(word, 0)
        end = cursor.next().end + 1
    text = cursor.statement.text[start:end]
    folded = text.strip().lower()
    return "getdate()" if folded == "sysdate" else text

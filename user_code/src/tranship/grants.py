"""The statement that gives a right which Postgres or Redshift says is missing; it runs as it is printed."""

import re

_RELATIONS = "relation|table|view|materialized view|foreign table|partitioned table"
_DENIED = re.compile(
    rf"permission denied for (?P<kind>schema|database|sequence|{_RELATIONS}) (?P<name>.+)$",
    re.MULTILINE,
)
_NO_TEMPORARY = re.compile(
    r'permission denied to create temporary tables in database "(?P<name>.+)"'
)
_NOT_OWNER = re.compile(
    rf"must be owner of (?:{_RELATIONS}) (?P<name>.+)$",
    re.MULTILINE,
)


def missing_grant(
    message: str, *, user: str, schema: str | None, reading: bool, creating: bool
) -> str | None:
    """The statement for an administrator or owner; `None` where the text is about no right we know.

    Args:
        message: The server's primary message, which names an object without its schema.
        user: Who lacks the right.
        schema: Where the object is, if it is a relation.
        reading: Whether rows are only read.
        creating: Whether something was being created.

    Example:
        >>> missing_grant(
        ...     "permission denied for table my table", user="etl", schema="dwh", reading=True, creating=False)
        'grant select on table "dwh"."my table" to "etl"'
    """
    to = quoted(user)
    if match := _NO_TEMPORARY.search(message):
        return f"grant temporary on database {quoted(match['name'])} to {to}"
    if match := _NOT_OWNER.search(message):
        return f"alter table {_relation(match['name'], schema)} owner to {to}"
    match = _DENIED.search(message)
    if match is None:
        return None
    kind, name = match["kind"], match["name"].strip()
    if kind == "schema":
        rights = "usage, create" if creating else "usage"
        return f"grant {rights} on schema {quoted(name)} to {to}"
    if kind == "database":
        return f"grant create on database {quoted(name)} to {to}"
    if kind == "sequence":
        return f"grant usage on sequence {_relation(name, schema)} to {to}"
    rights = "select" if reading else "select, insert, update, delete"
    return f"grant {rights} on table {_relation(name, schema)} to {to}"


def quoted(name: str) -> str:
    """A name as it stands in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _relation(name: str, schema: str | None) -> str:
    # Some servers quote the name in the message already.
    plain = name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name
    return quoted(plain) if schema is None else f"{quoted(schema)}.{quoted(plain)}"

"""Names that databases take, and that stop what was not made for them."""

from typing import Any

from tranship.replication.config import TableSettings
from tranship.tables import TableName

AWKWARD = [
    "CRONUS$Sales Header$437dbf0e-84ff-417a-965d-ed2bb9650972",
    "a-b.c/d e",
    "Größe 日本 😀",
    "[b]r]ackets",
    "quo\"te's",
    "100% {of} it;--",
    "_x0041_$",
    "n" * 118,
    "ö" * 118,
]


def entry(table: TableName, **settings: Any) -> TableSettings:
    written = ".".join("[" + part.replace("]", "]]") + "]" for part in (table.schema, table.name))
    return TableSettings(table=written, **settings)

"""Statements of SQLAlchemy as psycopg2 takes them, which both Postgres and Redshift are spoken to through."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa


def compiled(statement: "sa.ClauseElement") -> tuple[str, dict[str, Any]]:
    """A statement's text and values as the driver takes them."""
    made = statement.compile(dialect=_dialect(), compile_kwargs={"render_postcompile": True})
    # The unused value keeps the driver substituting, and with it turning %% into %.
    return str(made), {**dict(made.params or {}), "tranship": None}


@cache
def _dialect() -> Any:
    from sqlalchemy.dialects.postgresql import psycopg2 as dialect_module

    return dialect_module.dialect()

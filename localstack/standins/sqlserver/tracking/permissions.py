"""Who may read Change Tracking: GRANT, DENY and REVOKE of VIEW CHANGE TRACKING, for the one login that there is.

docs/relational-databases/track-changes/manage-change-tracking-sql-server.md of MicrosoftDocs/sql-docs, "Security".
"""

from typing import TYPE_CHECKING

from standins.sqlserver.errors import SqlError, unknown_object, unsupported
from standins.sqlserver.table_text import TokenReader

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.catalogue import Catalogue, TableDefinition
    from standins.sqlserver.state import SessionState

RIGHT = "VIEW CHANGE TRACKING"
VISIBLE = f"""(not exists (select 1 from standin.denied where "right" = '{RIGHT}')
    and not exists (select 1 from standin.tracking_denied d where d.class = 'OBJECT' and d.major_id = {{object_id}})
    and not exists (select 1 from standin.tracking_denied d join standin.tables t on t.schema_id = d.major_id
        where d.class = 'SCHEMA' and t.object_id = {{object_id}}))"""
"""Whether the login may see the tracking of a table, as DuckDB text with a place for the table's id."""
VIEWS_OF_STATE = {"sys.dm_tran_commit_table"}
"""The views that only show themselves to who may view the state of the database."""


def check_sees_state(database: str, catalogue: "Catalogue") -> None:
    """Called before a view of the database's state is read.

    Raises:
        SqlError: 262.
    """
    if catalogue.rows("""select 1 from standin.denied where "right" = 'VIEW DATABASE STATE'""", []):
        raise SqlError(
            262,
            f"VIEW DATABASE STATE permission denied in database '{database}'.",
            14,
            1,
            SqlError(297, "The user does not have permission to perform this action."),
        )


def may_view(table: "TableDefinition", catalogue: "Catalogue") -> bool:
    """Whether the login may see the changes of a table."""
    ((visible,),) = catalogue.rows(f"select {VISIBLE.format(object_id=table.object_id)}", [])
    return visible


def change(
    reader: TokenReader,
    session: "SessionState",
    catalogue: "Catalogue",
    connection: "duckdb.DuckDBPyConnection",
) -> None:
    """`GRANT | DENY | REVOKE VIEW CHANGE TRACKING ON [OBJECT:: | SCHEMA::] name TO | FROM login`.

    Raises:
        SqlError: 208 no such table, 15151 no such schema or login; or another right, which the stand-in does not know.
    """
    verb = reader.peek()
    reader.position += 1
    if not reader.accept("VIEW", "CHANGE", "TRACKING"):
        raise unsupported(f"{verb} of anything but {RIGHT}")
    reader.expect("ON")
    kind = "SCHEMA" if reader.accept("SCHEMA", "::") else "OBJECT"
    if kind == "OBJECT":
        _ = reader.accept("OBJECT", "::")
    parts = reader.qualified()
    if not reader.accept("TO"):
        reader.expect("FROM")
    login = reader.name()
    if login.lower() not in {session.user.lower(), "public"}:
        raise SqlError(
            15151,
            f"Cannot find the user '{login}', because it does not exist or you do not have permission.",
        )
    _ = reader.accept("CASCADE") or reader.accept("WITH", "GRANT", "OPTION")
    major_id = _id(kind, parts, catalogue)
    connection.execute(
        "delete from standin.tracking_denied where class = ? and major_id = ?", [kind, major_id]
    )
    if verb == "DENY":
        connection.execute("insert into standin.tracking_denied values (?, ?)", [kind, major_id])


def _id(kind: str, parts: list[str], catalogue: "Catalogue") -> int:
    if kind == "SCHEMA":
        schema_id = catalogue.schema_id(parts[-1])
        if schema_id is None:
            raise SqlError(
                15151,
                f"Cannot find the schema '{parts[-1]}', because it does not exist or you do not have permission.",
            )
        return schema_id
    table = catalogue.find(parts[-2] if len(parts) > 1 else "dbo", parts[-1])
    if table is None or table.is_view:
        raise unknown_object(".".join(parts))
    return table.object_id

"""Object names of one to three parts, as written and as found."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from standins.sqlserver.catalogue import Catalogue, TableDefinition
from standins.sqlserver.errors import unsupported

if TYPE_CHECKING:
    from standins.sqlserver.state import SessionState

DEFAULT_SCHEMA = "dbo"
SYSTEM_DATABASES = {"master", "tempdb", "model", "msdb"}


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A name; `foreign` when it points into another database than the session's."""

    schema: str
    name: str
    written: str
    foreign: bool = False

    def find(self, catalogue: Catalogue) -> TableDefinition | None:
        """The table it names, None if there is none."""
        if self.foreign:
            return None
        return catalogue.find(self.schema, self.name)


def object_name(node: exp.Expr, session: "SessionState") -> ObjectName:
    """The name of an `exp.Table`, as a session sees it.

    Raises:
        SqlError: for temporary tables and linked servers.
    """
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise unsupported(f"the object {node.sql(dialect='tsql')[:100]}")
    name, schema, catalog = node.name, node.db, node.catalog
    if name.startswith("#") or node.this.args.get("temporary") or node.this.args.get("global_"):
        raise unsupported(f"temporary tables (#{name.lstrip('#')})")
    written = (
        f"{catalog}..{name}"
        if catalog and not schema
        else ".".join(filter(None, (catalog, schema, name)))
    )
    database = (catalog or session.database).lower()
    if database in SYSTEM_DATABASES:
        # Of the system databases only the list of databases is there.
        foreign = f"{schema}.{name}".lower() != "sys.databases"
    else:
        foreign = database != session.home_database.lower()
    return ObjectName(schema or DEFAULT_SCHEMA, name, written, foreign)

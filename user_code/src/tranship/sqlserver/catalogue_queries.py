"""The statements of the catalogue. Each answers for all tables at once.

`sys` views may lower-case names (Babelfish does), so callers match them without case.
"""

from collections.abc import Iterable

from tranship.sqlserver.statements import CompiledStatement
from tranship.tables import TableName

TABLES = CompiledStatement("""
    select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE
    from INFORMATION_SCHEMA.TABLES
    order by TABLE_SCHEMA, TABLE_NAME
""")

# https://learn.microsoft.com/sql/t-sql/statements/set-transaction-isolation-level-transact-sql
SNAPSHOT_STATE = CompiledStatement("""
    select snapshot_isolation_state, is_read_committed_snapshot_on
    from sys.databases
    where name = db_name()
""")

SERVER_AND_DATABASE = CompiledStatement("""
    select cast(serverproperty('ServerName') as nvarchar(128)), db_name()
""")

# By name: db_id() is not the database_id of this view on Azure SQL Database.
DATABASE_IDENTITY = CompiledStatement("""
    select create_date, service_broker_guid, group_database_id
    from sys.databases
    where name = db_name()
""")

# No row without VIEW ANY DATABASE, which everybody has unless it was revoked; no such view on Azure SQL Database.
RECOVERY_STATUS = CompiledStatement("""
    select r.database_guid, r.recovery_fork_guid,
           (select count(*) from sys.database_recovery_status as t where t.database_guid = r.database_guid)
    from sys.database_recovery_status as r
    join sys.databases as d on d.database_id = r.database_id
    where d.name = db_name()
""")

TABLE_IDENTITY = """
    select s.name, o.name, o.object_id, o.create_date
    from sys.objects as o
    join sys.schemas as s on s.schema_id = o.schema_id
    where o.type in ('U', 'V') and s.name in (:schemas) and o.name in (:tables)
"""

# The last value that the server gave out; none after TRUNCATE, which begins anew.
# https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-identity-columns-transact-sql
IDENTITY_COUNTER = """
    select s.name, o.name, c.name, cast(c.last_value as decimal(38, 0)), cast(c.increment_value as decimal(38, 0))
    from sys.identity_columns as c
    join sys.objects as o on o.object_id = c.object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    where s.name in (:schemas) and o.name in (:tables)
"""

COLUMNS = """
    select TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, IS_NULLABLE, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH,
           NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, COLLATION_NAME
    from INFORMATION_SCHEMA.COLUMNS
    where TABLE_SCHEMA in (:schemas) and TABLE_NAME in (:tables)
    order by TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION
"""

DEFAULTS = """
    select TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT
    from INFORMATION_SCHEMA.COLUMNS
    where COLUMN_DEFAULT is not null and TABLE_SCHEMA in (:schemas) and TABLE_NAME in (:tables)
"""

PRIMARY_KEYS = """
    select k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME
    from INFORMATION_SCHEMA.TABLE_CONSTRAINTS as c
    join INFORMATION_SCHEMA.KEY_COLUMN_USAGE as k
      on k.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA and k.CONSTRAINT_NAME = c.CONSTRAINT_NAME
     and k.TABLE_SCHEMA = c.TABLE_SCHEMA and k.TABLE_NAME = c.TABLE_NAME
    where c.CONSTRAINT_TYPE = 'PRIMARY KEY'
      and k.TABLE_SCHEMA in (:schemas) and k.TABLE_NAME in (:tables)
    order by k.TABLE_SCHEMA, k.TABLE_NAME, k.ORDINAL_POSITION
"""

# is_identity and is_computed are in no INFORMATION_SCHEMA view.
GENERATED = """
    select s.name, o.name, c.name, c.is_identity, c.is_computed
    from sys.columns as c
    join sys.objects as o on o.object_id = c.object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    where (c.is_identity = 1 or c.is_computed = 1) and s.name in (:schemas) and o.name in (:tables)
    order by s.name, o.name, c.column_id
"""

# Index 0 is a heap, 1 a clustered index: each row once. sys.dm_db_partition_stats would say the same
# but needs a permission that sys.partitions does not.
ESTIMATED_ROWS = """
    select s.name, o.name, sum(p.rows)
    from sys.partitions as p
    join sys.objects as o on o.object_id = p.object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    where p.index_id in (0, 1) and s.name in (:schemas) and o.name in (:tables)
    group by s.name, o.name
"""

# Pages of 8 KB, of the rows, their large values and all indexes. Any login sees those of the tables it may see.
# Types 1 and 3 (in-row, overflow) name a partition by hobt_id, type 2 (large values) by partition_id:
# https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-allocation-units-transact-sql
SIZES = """
    select s.name, o.name, sum(a.total_pages)
    from sys.allocation_units as a
    join sys.partitions as p
      on (a.type in (1, 3) and a.container_id = p.hobt_id)
      or (a.type = 2 and a.container_id = p.partition_id)
    join sys.objects as o on o.object_id = p.object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    where s.name in (:schemas) and o.name in (:tables)
    group by s.name, o.name
"""

# Class 1 is an object or column; minor_id 0 is the table itself.
COMMENTS = """
    select s.name, o.name, c.name, cast(e.value as nvarchar(4000))
    from sys.extended_properties as e
    join sys.objects as o on o.object_id = e.major_id
    join sys.schemas as s on s.schema_id = o.schema_id
    left join sys.columns as c on c.object_id = e.major_id and c.column_id = e.minor_id
    where e.class = 1 and e.name = 'MS_Description' and s.name in (:schemas) and o.name in (:tables)
"""


def about(query: str, tables: Iterable[TableName]) -> CompiledStatement:
    """One of the queries above with its names bound.

    Pairs are not bound, so it may answer for more tables than were asked for.

    Example:
        >>> about("select 1 where s in (:schemas) and t in (:tables)", [TableName("a", "b"), TableName("a", "c")])
        CompiledStatement(sql='select 1 where s in (?) and t in (?, ?)', values=('a', 'b', 'c'))
    """
    names = list(tables)
    schemas = sorted({table.schema for table in names})
    own = sorted({table.name for table in names})
    sql = query.replace(":schemas", _markers(schemas)).replace(":tables", _markers(own))
    return CompiledStatement(sql, (*schemas, *own))


def _markers(values: list[str]) -> str:
    return ", ".join("?" * len(values))

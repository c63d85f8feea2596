"""The `sys` and `INFORMATION_SCHEMA` views, as DuckDB views over the stand-in's own catalogue tables.

To add one: an entry in `_VIEWS` with its columns and types; one without a query is an empty view.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from standins.sqlserver.cdc.store import VIEWS as CDC_VIEWS
from standins.sqlserver.collations import DEFAULT_NAME
from standins.sqlserver.typed import identifier, text_literal
from standins.sqlserver.types import (
    BIGINT,
    BIT,
    DATETIME,
    INT,
    NVARCHAR_MAX,
    SYSNAME,
    SYSTEM_TYPES,
    UNIQUEIDENTIFIER,
    SqlType,
    nvarchar,
)

if TYPE_CHECKING:
    from standins.sqlserver.catalogue import Catalogue, TableDefinition

COLLATION_NAME = DEFAULT_NAME
DATABASE_ID = 5


@dataclass(frozen=True, slots=True)
class SystemView:
    """A view of the system's: its columns, and the query behind it."""

    name: str
    columns: tuple[tuple[str, SqlType], ...]
    query: str | None


_TYPES = {
    "int": INT,
    "bigint": BIGINT,
    "bit": BIT,
    "tinyint": SqlType("tinyint"),
    "smallint": SqlType("smallint"),
    "sysname": SYSNAME,
    "datetime": DATETIME,
    "char2": SqlType("char", 2),
    "text60": nvarchar(60),
    "varchar": SqlType("varchar", 30),
    "max": NVARCHAR_MAX,
    "variant": nvarchar(4000),
    "guid": UNIQUEIDENTIFIER,
    "lsn": SqlType("binary", 10),
    "transaction": SqlType("varbinary", 10),
    "decimal25": SqlType("numeric", precision=25),
}
_OBJECT = (
    "name sysname, object_id int, principal_id int, schema_id int, parent_object_id int, type char2, type_desc text60, "
    "create_date datetime, modify_date datetime, is_ms_shipped bit, is_published bit, is_schema_published bit"
)
_MOMENTS = "false, false, false"
_IS_CHANGE_TABLE = (
    "exists (select 1 FROM standin.cdc_change_tables i where i.object_id = tables.object_id)"
)
_IS_CAPTURED = (
    "exists (select 1 FROM standin.cdc_change_tables i where i.source_object_id = tables.object_id)"
)
_TABLE_ROWS = f"select name, object_id, null, schema_id, 0, 'U ', 'USER_TABLE', created, modified, {_IS_CHANGE_TABLE}, false, false from standin.tables"
_KEY_ROWS = f"""select k.name, k.object_id, null, t.schema_id, k.parent_id, k.kind,
    case k.kind when 'PK' then 'PRIMARY_KEY_CONSTRAINT' else 'UNIQUE_CONSTRAINT' end, t.created, t.modified, {_MOMENTS}"""
_DEFAULT_ROWS = f"""select c.default_name, c.default_id, null, t.schema_id, c.object_id, 'D ', 'DEFAULT_CONSTRAINT', t.created, t.modified, {_MOMENTS}"""
_KEYS_FROM = "from standin.keys k join standin.tables t on t.object_id = k.parent_id"
# Constraints and policies are shown to who may view definitions; SELECT on the table is not enough.
_SEES_DEFINITIONS = """not exists (from standin.denied where "right" = 'VIEW DEFINITION')"""
_COLUMNS_FROM = "from standin.columns c join standin.tables t using (object_id)"

# (system_type_id, user_type_id, name, max_length, precision, scale) beside each declared column
_TYPE_VALUES = ", ".join(
    f"({text_literal(name)}, {ids[0]}, {ids[1]}, {ids[2]}, {ids[3]}, {ids[4]})"
    for name, ids in SYSTEM_TYPES.items()
)
_TYPE_ROWS = (
    f'(values {_TYPE_VALUES}) y(name, system_type_id, user_type_id, max_length, "precision", scale)'
)
_TYPE_JOIN = f"left join {_TYPE_ROWS} on y.name = case c.type_name when 'rowversion' then 'timestamp' else c.type_name end"
_NATIONAL = "c.type_name in ('nchar', 'nvarchar', 'sysname')"
_TEXTUAL = "c.type_name in ('char', 'varchar', 'nchar', 'nvarchar', 'text', 'ntext', 'sysname')"
_SCALED = "c.type_name in ('time', 'datetime2', 'datetimeoffset')"
_TIME_BYTES = "(case when c.scale <= 2 then 3 when c.scale <= 4 then 4 else 5 end)"
_MAX_LENGTH = f"""cast(case when c.length = -1 then -1 when c.length > 0 and {_NATIONAL} then c.length * 2 when c.length > 0 then c.length
    when c.type_name in ('decimal', 'numeric') then case when c."precision" <= 9 then 5 when c."precision" <= 19 then 9 when c."precision" <= 28 then 13 else 17 end
    when {_SCALED} then {_TIME_BYTES} + case c.type_name when 'time' then 0 when 'datetime2' then 3 else 5 end
    else y.max_length end as smallint)"""
_PRECISION = f"""cast(case when c.type_name in ('decimal', 'numeric') then c."precision"
    when {_SCALED} then (case c.type_name when 'time' then 8 when 'datetime2' then 19 else 26 end) + case when c.scale > 0 then c.scale + 1 else 0 end
    else y."precision" end as utinyint)"""
_SCALE = f"cast(case when c.type_name in ('decimal', 'numeric') or {_SCALED} then c.scale else y.scale end as utinyint)"
_CATALOG = "getvariable('database')"

_VIEWS: dict[str, tuple[str, str | None]] = {
    "sys.schemas": (
        "name sysname, schema_id int, principal_id int",
        "select name, schema_id, 1 from standin.schemas",
    ),
    "sys.tables": (
        f"{_OBJECT}, lob_data_space_id int, max_column_id_used int, uses_ansi_nulls bit, is_replicated bit, lock_escalation tinyint, "
        "is_tracked_by_cdc bit, temporal_type tinyint, temporal_type_desc text60, history_table_id int, is_memory_optimized bit, durability tinyint, is_external bit, is_node bit, is_edge bit",
        _TABLE_ROWS.replace(
            " from ",
            f", 0, 0, true, false, 0, {_IS_CAPTURED}, 0, 'NON_TEMPORAL_TABLE', null, false, 0, false, false, false from ",
        ),
    ),
    "sys.objects": (
        _OBJECT,
        f"{_TABLE_ROWS} union all {_KEY_ROWS} {_KEYS_FROM} union all {_DEFAULT_ROWS} {_COLUMNS_FROM} where c.default_id is not null",
    ),
    "sys.all_objects": (
        _OBJECT,
        f"{_TABLE_ROWS} union all {_KEY_ROWS} {_KEYS_FROM} union all {_DEFAULT_ROWS} {_COLUMNS_FROM} where c.default_id is not null",
    ),
    "sys.views": (f"{_OBJECT}, with_check_option bit", None),
    "sys.procedures": (_OBJECT, None),
    "sys.triggers": ("name sysname, object_id int, parent_id int, is_disabled bit", None),
    "sys.columns": (
        "object_id int, name sysname, column_id int, system_type_id tinyint, user_type_id int, max_length smallint, precision tinyint, "
        "scale tinyint, collation_name sysname, is_nullable bit, is_ansi_padded bit, is_rowguidcol bit, is_identity bit, is_computed bit, "
        "is_filestream bit, is_replicated bit, is_xml_document bit, default_object_id int, is_sparse bit, is_column_set bit, "
        "generated_always_type tinyint, generated_always_type_desc text60, is_hidden bit, is_masked bit, encryption_type int",
        f"""select c.object_id, c.name, c.column_id, y.system_type_id, y.user_type_id, {_MAX_LENGTH}, {_PRECISION}, {_SCALE},
        case when {_TEXTUAL} then coalesce(c.collation_name, '{COLLATION_NAME}') end, c.nullable, true, false, c.identity_seed is not null, c.computed_text is not null,
        false, false, false, coalesce(c.default_id, 0), false, false, 0, 'NOT_APPLICABLE', false, coalesce(h.masked, false), h.encryption_type from standin.columns c {_TYPE_JOIN}
        left join standin.concealed h on h.object_id = c.object_id and h.column_id = c.column_id""",
    ),
    "sys.types": (
        "name sysname, system_type_id tinyint, user_type_id int, schema_id int, principal_id int, max_length smallint, precision tinyint, "
        "scale tinyint, collation_name sysname, is_nullable bit, is_user_defined bit, is_assembly_type bit, default_object_id int, rule_object_id int, is_table_type bit",
        f"""select name, system_type_id, user_type_id, 4, null, max_length, "precision", scale,
        case when name in ('char', 'varchar', 'nchar', 'nvarchar', 'text', 'ntext', 'sysname') then '{COLLATION_NAME}' end,
        true, false, system_type_id = 240, 0, 0, false from {_TYPE_ROWS}""",
    ),
    "sys.indexes": (
        "object_id int, name sysname, index_id int, type tinyint, type_desc text60, is_unique bit, data_space_id int, ignore_dup_key bit, "
        "is_primary_key bit, is_unique_constraint bit, fill_factor tinyint, is_padded bit, is_disabled bit, is_hypothetical bit, "
        "allow_row_locks bit, allow_page_locks bit, has_filter bit, filter_definition max",
        """select i.* from (select parent_id, name, index_id, case when index_id = 1 then 1 else 2 end, case when index_id = 1 then 'CLUSTERED' else 'NONCLUSTERED' end,
        true, 1, false, kind = 'PK', kind = 'UQ', 0, false, false, false, true, true, false, null from standin.keys
        union all select object_id, null, 0, 0, 'HEAP', false, 1, false, false, false, 0, false, false, false, true, true, false, null
        from standin.tables t where not exists (from standin.keys k where k.parent_id = t.object_id and k.index_id = 1)) i
        where not exists (from standin.denied where "right" = 'INDEXES')""",
    ),
    "sys.index_columns": (
        "object_id int, index_id int, index_column_id int, column_id int, key_ordinal tinyint, partition_ordinal tinyint, "
        "is_descending_key bit, is_included_column bit",
        """select kc.parent_id, k.index_id, kc."position", kc.column_id, kc."position", 0, false, false
        from standin.key_columns kc join standin.keys k using (object_id)""",
    ),
    "sys.key_constraints": (
        f"{_OBJECT}, unique_index_id int, is_system_named bit, is_enforced bit",
        f"{_KEY_ROWS}, k.index_id, false, true {_KEYS_FROM} where {_SEES_DEFINITIONS}",
    ),
    "sys.check_constraints": (f"{_OBJECT}, definition max, parent_column_id int", None),
    "sys.foreign_keys": (
        f"{_OBJECT}, referenced_object_id int, key_index_id int, is_disabled bit, is_not_trusted bit, delete_referential_action tinyint, "
        "delete_referential_action_desc text60, update_referential_action tinyint, update_referential_action_desc text60",
        None,
    ),
    "sys.foreign_key_columns": (
        "constraint_object_id int, constraint_column_id int, parent_object_id int, parent_column_id int, referenced_object_id int, referenced_column_id int",
        None,
    ),
    "sys.extended_properties": (
        "class tinyint, class_desc text60, major_id int, minor_id int, name sysname, value variant",
        """select class, case class when 0 then 'DATABASE' when 3 then 'SCHEMA' else 'OBJECT_OR_COLUMN' end, major_id, minor_id, name, "value"
        from standin.properties""",
    ),
    "sys.identity_columns": (
        "object_id int, name sysname, column_id int, seed_value bigint, increment_value bigint, last_value bigint, is_identity bit, is_computed bit",
        """select c.object_id, c.name, c.column_id, c.identity_seed, c.identity_step, q.last_value, true, false
        from standin.columns c left join duckdb_sequences() q
        on q.schema_name = 'standin' and q.sequence_name = 'identity_' || c.object_id where c.identity_seed is not null""",
    ),
    "sys.computed_columns": (
        "object_id int, name sysname, column_id int, definition max, is_persisted bit, is_computed bit",
        "select object_id, name, column_id, computed_text, false, true from standin.columns where computed_text is not null",
    ),
    "sys.default_constraints": (
        f"{_OBJECT}, parent_column_id int, definition max, is_system_named bit",
        f"{_DEFAULT_ROWS}, c.column_id, c.default_text, false {_COLUMNS_FROM} where c.default_id is not null",
    ),
    "sys.databases": (
        "name sysname, database_id int, source_database_id int, create_date datetime, compatibility_level tinyint, collation_name sysname, "
        "user_access_desc text60, is_read_only bit, state tinyint, state_desc text60, snapshot_isolation_state tinyint, "
        "snapshot_isolation_state_desc text60, is_read_committed_snapshot_on bit, recovery_model_desc text60, is_cdc_enabled bit, "
        "service_broker_guid guid, group_database_id guid",
        f"""select name, id, null, created, 150, '{COLLATION_NAME}', 'MULTI_USER', false, 0, 'ONLINE', 1, 'ON', true, 'SIMPLE', false, broker, member
        from (values ('master', 1, timestamp '2003-04-08 09:13:36.390', uuid '00000000-0000-0000-0000-000000000000', null),
            ('tempdb', 2, timestamp '2026-01-01', uuid '00000000-0000-0000-0000-000000000000', null)) d(name, id, created, broker, member)
        union all select {_CATALOG}, {DATABASE_ID}, null, created, 150, '{COLLATION_NAME}', 'MULTI_USER', false, 0, 'ONLINE',
            case when snapshot_isolation then 1 else 0 end, case when snapshot_isolation then 'ON' else 'OFF' end, read_committed_snapshot, 'SIMPLE',
            exists (from standin.cdc_databases), service_broker_guid, group_database_id from standin.identity cross join standin.options""",
    ),
    # A login without VIEW ANY DATABASE sees no row of it, and sees its own database in sys.databases all the same.
    "sys.database_recovery_status": (
        "database_id int, database_guid guid, family_guid guid, last_log_backup_lsn decimal25, recovery_fork_guid guid, "
        "first_recovery_fork_guid guid, fork_point_lsn decimal25",
        f"""select {DATABASE_ID}, database_guid, family_guid, null, recovery_fork_guid, first_recovery_fork_guid, null
        from standin.identity where is_visible""",
    ),
    "sys.security_policies": (
        f"{_OBJECT}, is_enabled bit, is_not_for_replication bit, is_schema_bound bit",
        f"""select distinct p.name, 900000000 + p.object_id, null, 1, 0, 'SP', 'SECURITY_POLICY', timestamp '2026-01-01', timestamp '2026-01-01',
        {_MOMENTS}, true, false, true from standin.policies p where {_SEES_DEFINITIONS}""",
    ),
    "sys.security_predicates": (
        "object_id int, security_predicate_id int, target_object_id int, predicate_definition max, predicate_type int, predicate_type_desc text60",
        f"""select 900000000 + p.object_id, 1, p.object_id, null, 0, 'FILTER' from standin.policies p where {_SEES_DEFINITIONS}""",
    ),
    "sys.partitions": (
        "partition_id bigint, object_id int, index_id int, partition_number int, hobt_id bigint, rows bigint, data_compression tinyint, data_compression_desc text60",
        None,
    ),
    "sys.dm_db_partition_stats": (
        "partition_id bigint, object_id int, index_id int, partition_number int, in_row_data_page_count bigint, used_page_count bigint, reserved_page_count bigint, row_count bigint",
        None,
    ),
    "sys.change_tracking_databases": (
        "database_id int, is_auto_cleanup_on bit, retention_period int, retention_period_units tinyint, retention_period_units_desc text60, "
        "max_cleanup_version bigint",
        f"""select {DATABASE_ID}, auto_cleanup, retention_period, retention_unit, case retention_unit when 1 then 'MINUTES' when 2 then 'HOURS'
        else 'DAYS' end, (select max(cleanup_version) from standin.tracked_tables) from standin.tracking""",
    ),
    "sys.change_tracking_tables": (
        "object_id int, is_track_columns_updated_on bit, min_valid_version bigint, begin_version bigint, cleanup_version bigint",
        "select object_id, columns_updated, min_valid_version, begin_version, cleanup_version from standin.tracked_tables",
    ),
    "sys.dm_tran_commit_table": (
        "commit_ts bigint, xdes_id bigint, commit_lbn bigint, commit_csn bigint, commit_time datetime",
        """select "version", "version", "version", "version", committed from standin.tracked_commits""",
    ),
    "sys.periods": (
        "name sysname, period_type tinyint, object_id int, start_column_id int, end_column_id int",
        None,
    ),
    "sys.synonyms": (f"{_OBJECT}, base_object_name nvarchar", None),
    "sys.sql_modules": ("object_id int, definition max", None),
    "sys.sequences": (
        f"{_OBJECT}, start_value bigint, increment bigint, minimum_value bigint, maximum_value bigint, current_value bigint",
        None,
    ),
    "sys.system_views": ("name sysname, object_id int, schema_id int", None),
    "sys.database_principals": (
        "name sysname, principal_id int, type char2, type_desc text60, default_schema_name sysname",
        "values ('dbo', 1, 'S', 'SQL_USER', 'dbo')",
    ),
    "information_schema.schemata": (
        "CATALOG_NAME sysname, SCHEMA_NAME sysname, SCHEMA_OWNER sysname, DEFAULT_CHARACTER_SET_NAME sysname",
        f"select {_CATALOG}, name, 'dbo', 'iso_1' from standin.schemas",
    ),
    "information_schema.tables": (
        "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname, TABLE_TYPE varchar",
        f"select {_CATALOG}, s.name, t.name, 'BASE TABLE' from standin.tables t join standin.schemas s using (schema_id)",
    ),
    "information_schema.views": (
        "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname, VIEW_DEFINITION max",
        None,
    ),
    "information_schema.columns": (
        "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname, COLUMN_NAME sysname, ORDINAL_POSITION int, COLUMN_DEFAULT max, "
        "IS_NULLABLE varchar, DATA_TYPE sysname, CHARACTER_MAXIMUM_LENGTH int, CHARACTER_OCTET_LENGTH int, NUMERIC_PRECISION tinyint, "
        "NUMERIC_PRECISION_RADIX smallint, NUMERIC_SCALE int, DATETIME_PRECISION smallint, CHARACTER_SET_NAME sysname, COLLATION_NAME sysname, DOMAIN_NAME sysname",
        f"""select {_CATALOG}, s.name, t.name, c.name, cast(row_number() over (partition by c.object_id order by c.column_id) as integer), c.default_text,
        case when c.nullable then 'YES' else 'NO' end, y.name,
        case when c.type_name in ('text', 'image') then 2147483647 when c.type_name = 'ntext' then 1073741823 when c.type_name = 'xml' then -1
            when c.length <> 0 and c.type_name <> 'rowversion' then c.length end,
        case when c.type_name in ('text', 'image') then 2147483647 when c.type_name = 'ntext' then 2147483646 when c.type_name = 'xml' then -1
            when c.length > 0 and {_NATIONAL} then c.length * 2 when c.length <> 0 and c.type_name <> 'rowversion' then c.length end,
        case when c.type_name in ('decimal', 'numeric', 'tinyint', 'smallint', 'int', 'bigint', 'money', 'smallmoney', 'float', 'real') then {_PRECISION} end,
        case when c.type_name in ('float', 'real') then 2 when c.type_name in ('decimal', 'numeric', 'tinyint', 'smallint', 'int', 'bigint', 'money', 'smallmoney') then 10 end,
        case when c.type_name in ('decimal', 'numeric', 'tinyint', 'smallint', 'int', 'bigint', 'money', 'smallmoney') then {_SCALE} end,
        case when {_SCALED} or c.type_name in ('datetime', 'smalldatetime', 'date') then {_SCALE} end,
        case when {_NATIONAL} or c.type_name = 'ntext' then 'UNICODE' when {_TEXTUAL} then 'iso_1' end,
        case when {_TEXTUAL} then coalesce(c.collation_name, '{COLLATION_NAME}') end, null
        {_COLUMNS_FROM} join standin.schemas s using (schema_id) {_TYPE_JOIN}""",
    ),
    "information_schema.table_constraints": (
        "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname, TABLE_CATALOG sysname, TABLE_SCHEMA sysname, "
        "TABLE_NAME sysname, CONSTRAINT_TYPE varchar, IS_DEFERRABLE varchar, INITIALLY_DEFERRED varchar",
        f"""select {_CATALOG}, s.name, k.name, {_CATALOG}, s.name, t.name, case k.kind when 'PK' then 'PRIMARY KEY' else 'UNIQUE' end, 'NO', 'NO'
        {_KEYS_FROM} join standin.schemas s using (schema_id) where {_SEES_DEFINITIONS}""",
    ),
    "information_schema.key_column_usage": (
        "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname, TABLE_CATALOG sysname, TABLE_SCHEMA sysname, "
        "TABLE_NAME sysname, COLUMN_NAME sysname, ORDINAL_POSITION int",
        f"""select {_CATALOG}, s.name, k.name, {_CATALOG}, s.name, t.name, c.name, kc."position"
        {_KEYS_FROM} join standin.schemas s using (schema_id) join standin.key_columns kc on kc.object_id = k.object_id
        join standin.columns c on c.object_id = t.object_id and c.column_id = kc.column_id where {_SEES_DEFINITIONS}""",
    ),
    "information_schema.referential_constraints": (
        "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname, UNIQUE_CONSTRAINT_CATALOG sysname, "
        "UNIQUE_CONSTRAINT_SCHEMA sysname, UNIQUE_CONSTRAINT_NAME sysname, MATCH_OPTION varchar, UPDATE_RULE varchar, DELETE_RULE varchar",
        None,
    ),
}
_SYSTEM_SCHEMA_NAMES = {"sys": "sys", "cdc": "cdc", "information_schema": "INFORMATION_SCHEMA"}


def _columns(text: str) -> tuple[tuple[str, SqlType], ...]:
    pairs = (item.split() for item in text.split(","))
    return tuple(
        (name, SqlType("nvarchar", 1035) if kind == "nvarchar" else _TYPES[kind])
        for name, kind in pairs
    )


def _view(name: str, columns: str, query: str | None) -> SystemView:
    schema, view = name.split(".")
    shown = view.upper() if schema == "information_schema" else view
    return SystemView(f"{_SYSTEM_SCHEMA_NAMES[schema]}.{shown}", _columns(columns), query)


SYSTEM_VIEWS: dict[str, SystemView] = {
    name: _view(name, *parts) for name, parts in (_VIEWS | CDC_VIEWS).items()
}


def _collated(kind: SqlType) -> str:
    return "varchar collate nocase" if kind.is_string else kind.storage


def system_view_statements() -> list[str]:
    """The `create view` statements; each column is cast to the type it is declared with."""
    statements = []
    for name, view in SYSTEM_VIEWS.items():
        names = [f"c{index}" for index in range(len(view.columns))]
        casts = ", ".join(
            f"cast({internal} as {kind.storage}){' collate nocase' if kind.is_string else ''} as {identifier(column)}"
            for internal, (column, kind) in zip(names, view.columns, strict=True)
        )
        query = view.query or f"select {', '.join('null' for _ in names)} where false"
        statements.append(
            f"create or replace view standin.{identifier(name)} as select {casts} from ({query}) v({', '.join(names)})"
        )
    return statements


def counted_view(table: "TableDefinition", catalogue: "Catalogue") -> str | None:
    """For the views with row counts: a query that counts each table now, in the caller's own snapshot."""
    name = f"{table.schema}.{table.name}".lower()
    if name not in {"sys.partitions", "sys.dm_db_partition_stats"}:
        return None
    rows = []
    for user_table in catalogue.tables():
        count = f"(select count(*) from {user_table.sql})"
        for index_id in range(len(user_table.keys)) if user_table.keys else [-1]:
            shared = f"cast({user_table.object_id}{index_id + 1} as bigint), {user_table.object_id}, {index_id + 1}, 1"
            pages = f"cast({count} // 100 + 1 as bigint)"
            tail = (
                f"cast({user_table.object_id} as bigint), {count}, 0, 'NONE'"
                if name == "sys.partitions"
                else f"{pages}, {pages}, {pages}, {count}"
            )
            rows.append(f"select {shared}, {tail}")
    if not rows:
        return None
    names = ", ".join(identifier(column.name) for column in table.columns)
    return f"(select * from ({' union all '.join(rows)}) v({names}))"

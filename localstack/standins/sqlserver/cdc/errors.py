"""What Change Data Capture refuses, with SQL Server's numbers, states and texts.

Texts: docs/relational-databases/errors-events/database-engine-events-and-errors-22000-to-22999.md of MicrosoftDocs/sql-docs; 313:
docs/relational-databases/track-changes/work-with-change-data-sql-server.md, "LSN boundaries".
"""

from standins.sqlserver.errors import SqlError


def bad_interval() -> SqlError:
    """313: an end that is null or outside of what the instance has, ends in the wrong order, or an unknown row filter."""
    return SqlError(
        313,
        "An insufficient number of arguments were supplied for the procedure or function cdc.fn_cdc_get_all_changes_ ... .",
        16,
        3,
    )


def outside_of_the_role(function: str, database: str) -> SqlError:
    """229: the login is in no gating role of the instance."""
    return SqlError(
        229,
        f"The SELECT permission was denied on the object '{function}', database '{database}', schema 'cdc'.",
        14,
        5,
    )


def truncate_refused(table: str) -> SqlError:
    """4711: a table of which changes are captured cannot be truncated."""
    return SqlError(
        4711,
        f"Cannot truncate table '{table}' because it is published for replication or enabled for Change Data Capture.",
    )


def database_off(database: str) -> SqlError:
    """22901: the database comes first."""
    return SqlError(
        22901,
        f"The database '{database}' is not enabled for Change Data Capture. Ensure that the correct database context is set and retry the "
        "operation. To report on the databases enabled for Change Data Capture, query the is_cdc_enabled column in the sys.databases catalog "
        "view.",
    )


def sysadmin_needed() -> SqlError:
    """22902: who switches the database on."""
    return SqlError(
        22902,
        "Caller is not authorized to initiate the requested action. Sysadmin privileges are required.",
    )


def job_is_running(spid: int) -> SqlError:
    """22903: two scans at once."""
    return SqlError(
        22903,
        f"Another connection with session ID {spid} is already running 'sp_replcmds' for Change Data Capture in the current database.",
    )


def owner_needed() -> SqlError:
    """22904: who switches a table on."""
    return SqlError(
        22904,
        "Caller is not authorized to initiate the requested action. DBO privileges are required.",
    )


def name_is_taken(database: str) -> SqlError:
    """22906: the schema belongs to Change Data Capture."""
    return SqlError(
        22906,
        f"The database '{database}' cannot be enabled for Change Data Capture because a database user named 'cdc' or a schema named 'cdc' "
        "already exists in the current database. These objects are required exclusively by Change Data Capture. Drop or rename the user or "
        "schema and retry the operation.",
    )


def no_such_instance(instance: str, database: str) -> SqlError:
    """22920: a clean-up of nothing."""
    return SqlError(
        22920, f"The named capture instance {instance} does not exist for database {database}."
    )


def instance_exists(instance: str) -> SqlError:
    """22926: names of instances are the database's."""
    return SqlError(
        22926,
        f"Could not create a capture instance because the capture instance name '{instance}' already exists in the current database. Specify "
        "an explicit unique name for the parameter @capture_instance.",
    )


def name_too_long(instance: str) -> SqlError:
    """22927: 100 characters."""
    return SqlError(
        22927,
        f"Capture instance name '{instance}' exceeds the length limit of 100 characters. Specify a name that satisfies the length constraint.",
    )


def no_such_index(index: str, schema: str, table: str) -> SqlError:
    """22928: @index_name."""
    return SqlError(
        22928,
        f"Index name '{index}' is not an index for table '{schema}.{table}'. Specify a valid index name for the table.",
    )


def no_such_table(schema: str, table: str) -> SqlError:
    """22931: @source_schema and @source_name."""
    return SqlError(
        22931,
        f"Source table '{schema}.{table}' does not exist in the current database. Ensure that the correct database context is set. Specify a "
        "valid schema and table name for the database.",
    )


def key_needed() -> SqlError:
    """22939: net changes are counted by key."""
    return SqlError(
        22939,
        "The parameter @supports_net_changes is set to 1, but the source table does not have a primary key defined and no alternate unique "
        "index has been specified.",
    )


def no_such_columns(schema: str, table: str) -> SqlError:
    """22942: @captured_column_list."""
    return SqlError(
        22942,
        f"Columns specified in the captured column list could not be mapped to columns in source table '{schema}.{table}'. Verify that the "
        "columns specified in the parameter @captured_column_list are delimited properly and match columns in the source table.",
    )


def key_not_captured() -> SqlError:
    """22943: net changes need the key among the columns."""
    return SqlError(
        22943,
        "Columns used to uniquely identify a row for net change tracking must be included in the list of captured columns. Add either the "
        "primary key columns of the source table, or the columns defined for the index specified in the parameter @index_name to the list of "
        "captured columns and retry the operation.",
    )


def not_of_the_table(instance: str, schema: str, table: str) -> SqlError:
    """22960: the instance to switch off is another table's."""
    return SqlError(
        22960,
        f"Change data capture instance '{instance}' has not been enabled for the source table '{schema}.{table}'. Use "
        "sys.sp_cdc_help_change_data_capture to verify the capture instance name and retry the operation.",
    )


def two_instances_already(schema: str, table: str) -> SqlError:
    """22962: there is no third."""
    return SqlError(
        22962,
        f"Two capture instances already exist for source table '{schema}.{table}'. A table can have at most two capture instances. If the "
        "current tracking options are not appropriate, disable change tracking for the obsolete instance by using sys.sp_cdc_disable_table "
        "and retry the operation.",
    )


def parameter_needed(name: str) -> SqlError:
    """22963: null or empty."""
    return SqlError(
        22963,
        f"Parameter '{name}' cannot be null or empty. Specify a value for the named parameter and retry the operation.",
    )


def not_in_the_mapping(lsn: str) -> SqlError:
    """22964: a clean-up up to a number that is no commit's."""
    return SqlError(
        22964,
        f"LSN {lsn}, specified as the new low end point for change table cleanup must represent the start_lsn value of a current entry in the "
        "cdc.lsn_time_mapping table. Choose an LSN value that satisfies this requirement.",
    )


def table_of_cdc() -> SqlError:
    """22974: change tables are no source."""
    return SqlError(
        22974, "Tables contained in the cdc schema cannot be enabled for Change Data Capture."
    )


def reserved_names(table: str) -> SqlError:
    """22975: a source with columns of the change table's names."""
    return SqlError(
        22975,
        f"Source table '{table}' contains one of the following reserved column names: __$start_lsn, __$end_lsn, __$seqval, __$operation, and "
        "__$update_mask. To enable Change Data Capture for this table, specify a captured column list and ensure that these columns are "
        "excluded from the list.",
    )


def key_is_needed(constraint: str, table: str) -> SqlError:
    """22979: the index by which net changes are counted stays."""
    return SqlError(
        22979,
        f"The unique index '{constraint}' on table '{table}' is used by Change Data Capture. The constraint using this index cannot be dropped "
        "or disabled.",
    )


def table_off(schema: str, table: str) -> SqlError:
    """22985: no changes of the table are captured."""
    return SqlError(
        22985,
        f"Change data capture has not been enabled for source table '{schema}.{table}'. Specify the name of a table enabled for Change Data "
        "Capture. To report on the tables enabled for Change Data Capture, query the is_tracked_by_cdc column in the sys.tables catalog view.",
    )


def no_access() -> SqlError:
    """22981: an instance that is none, or that the login may not see."""
    return SqlError(22981, "Object does not exist or access is denied.")

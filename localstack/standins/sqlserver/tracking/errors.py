"""What Change Tracking refuses, with SQL Server's numbers, states and texts.

Texts: docs/relational-databases/errors-events/database-engine-events-and-errors-*.md of MicrosoftDocs/sql-docs.
"""

from standins.sqlserver.errors import SqlError

_ALTER_FAILED = SqlError(5069, "ALTER DATABASE statement failed.")


def unknown_retention_unit(unit: str) -> SqlError:
    """155: the singular is no unit either."""
    return SqlError(155, f"'{unit}' is not a recognized CHANGE RETENTION UNIT option.", 15, 2)


def off_for_the_database(database: str, table: str) -> SqlError:
    """1718: the database comes first."""
    return SqlError(
        1718,
        f"Change tracking must be enabled on database '{database}' before it can be enabled on table '{table}'.",
    )


def key_is_needed(constraint: str, table: str) -> SqlError:
    """3735 and 3727: the primary key of a tracked table stays."""
    return SqlError(
        3735,
        f"The primary key constraint '{constraint}' on table '{table}' cannot be dropped because change tracking is enabled on the table. "
        "Change tracking requires a primary key constraint on the table. Disable change tracking before dropping the constraint.",
        followed_by=SqlError(3727, "Could not drop constraint. See previous errors.", 16, 0),
    )


def switch_of_tracked(table: str) -> SqlError:
    """4900: partitions do not move in or out of a tracked table."""
    return SqlError(
        4900,
        f"The ALTER TABLE SWITCH statement failed for table '{table}'. It is not possible to switch the partition of a table that has change "
        "tracking enabled. Disable change tracking before using ALTER TABLE SWITCH.",
    )


def on_already(table: str) -> SqlError:
    """4996: ENABLE of a tracked table."""
    return SqlError(4996, f"Change tracking is already enabled for table '{table}'.")


def no_key(table: str) -> SqlError:
    """4997: changes are told by primary key."""
    return SqlError(
        4997,
        f"Cannot enable change tracking on table '{table}'. Change tracking requires a primary key on the table. "
        "Create a primary key on the table before enabling change tracking.",
    )


def not_on(table: str) -> SqlError:
    """4998: DISABLE of a table that is not tracked."""
    return SqlError(4998, f"Change tracking is not enabled on table '{table}'.")


def key_of_rowversion(table: str) -> SqlError:
    """4999: a key that changes by itself."""
    return SqlError(
        4999,
        f"Cannot enable change tracking on table '{table}'. Change tracking does not support a primary key of type timestamp on a table.",
    )


def alter_database_refused(database: str) -> SqlError:
    """5011: there is no such database for this login."""
    return SqlError(
        5011,
        f"User does not have permission to alter database '{database}', the database does not exist, or the database is not in a state that "
        "allows access checks.",
        14,
        5,
        followed_by=_ALTER_FAILED,
    )


def database_on_already(database: str) -> SqlError:
    """5088: `= ON` of a database that tracks."""
    return SqlError(
        5088,
        f"Change tracking is already enabled for database '{database}'.",
        followed_by=_ALTER_FAILED,
    )


def database_off(database: str, state: int) -> SqlError:
    """5089: asked to stop (state 1) or to change its options (state 2)."""
    return SqlError(
        5089,
        f"Change tracking is disabled for database '{database}'. Change tracking must be enabled on a database to modify change tracking settings.",
        16,
        state,
        followed_by=_ALTER_FAILED,
    )


def system_database(database: str) -> SqlError:
    """5090: master and its like are never tracked."""
    return SqlError(
        5090,
        f"Database '{database}' is a system database. Change tracking settings cannot be modified for system databases.",
        followed_by=_ALTER_FAILED,
    )


def option_twice(option: str) -> SqlError:
    """5091."""
    return SqlError(
        5091,
        f"ALTER DATABASE change tracking option '{option}' was specified more than once. Each option can be specified only once.",
        15,
    )


def retention_out_of_range(option: str) -> SqlError:
    """5092: in minutes an int has to hold it."""
    return SqlError(
        5092,
        f"The value for change tracking option '{option}' is not valid. The value must be between 1 and 2147483647 minutes.",
        15,
    )


def no_version_arguments() -> SqlError:
    """22103: as many values as columns."""
    return SqlError(
        22103,
        "The arguments supplied are not valid for the VERSION option of the CHANGETABLE function.",
    )


def no_alias() -> SqlError:
    """22104."""
    return SqlError(22104, "A table returned by the CHANGETABLE function must be aliased.")


def not_tracked(table: str) -> SqlError:
    """22105: the table, or all of the database."""
    return SqlError(22105, f"Change tracking is not enabled on table '{table}'.")


def no_user_table(written: str) -> SqlError:
    """22107: a view, or a temporary table."""
    return SqlError(
        22107,
        f"Object '{written}' is of a data type that is not supported by the CHANGETABLE function. The object must be a user-defined table.",
    )


def context_of_select() -> SqlError:
    """22108."""
    return SqlError(
        22108, "The CHANGE_TRACKING_CONTEXT WITH clause cannot be used with a SELECT statement."
    )


def no_context() -> SqlError:
    """22109: bytes, and not too many."""
    return SqlError(
        22109,
        'The "context" argument for the CHANGE_TRACKING_CONTEXT WITH clause must be of type varbinary data type with a maximum length of 128.',
    )


def other_number_of_columns(table: str) -> SqlError:
    """22110: all columns of the key, or none."""
    return SqlError(
        22110,
        "The number of columns specified in the CHANGETABLE(VERSION ...) function does not match the number of primary key columns for table "
        f"'{table}'.",
    )


def not_of_the_key(column: str, table: str) -> SqlError:
    """22111."""
    return SqlError(
        22111,
        f"The column '{column}' specified in the CHANGETABLE(VERSION ...) function is not part of the primary key for table '{table}'.",
    )


def column_twice(column: str) -> SqlError:
    """22112."""
    return SqlError(
        22112,
        f"Each primary key column must be specified once in the CHANGETABLE(VERSION ...) function. The column '{column}' is specified more than once.",
    )


def with_other_options() -> SqlError:
    """22114: Change Tracking is set alone."""
    return SqlError(
        22114,
        "Change tracking options for ALTER DATABASE cannot be combined with other ALTER DATABASE options.",
        followed_by=_ALTER_FAILED,
    )


def tables_on_still(database: str) -> SqlError:
    """22115: first the tables, then the database."""
    return SqlError(
        22115,
        f"Change tracking is enabled for one or more tables in database '{database}'. Disable change tracking on each table before disabling it "
        "for the database. Use the sys.change_tracking_tables catalog view to obtain a list of tables for which change tracking is enabled.",
        followed_by=_ALTER_FAILED,
    )


def permission_denied(right: str, table: str, database: str, schema: str) -> SqlError:
    """229: SELECT on the table is not enough."""
    return SqlError(
        229,
        f"The {right} permission was denied on the object '{table}', database '{database}', schema '{schema}'.",
        14,
        5,
    )

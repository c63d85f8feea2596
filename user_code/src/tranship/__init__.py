"""Moves SQL Server tables to Postgres and Redshift with Dagster, as a stream of Arrow record batches.

What stands in `__all__` is the library's interface; everything else may move. Each name is imported on first use:
`import tranship` costs no Dagster, pandas or boto3, because every run container waits for it.

Example:
    >>> from tranship import TableName
    >>> str(TableName("dbo", "DimProduct"))
    'dbo.DimProduct'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tranship.alerts.sensors import build_alert_sensors
    from tranship.alerts.settings import AlertSettings
    from tranship.errors import (
        ConfigurationError,
        ConnectionFailedError,
        RowsOutsideSliceError,
        SchemaDriftError,
        TableNotFoundError,
        TranshipError,
        TransientError,
        ValueDoesNotFitError,
        WriteFailedError,
    )
    from tranship.failures import as_failures
    from tranship.frames import Batches
    from tranship.postgres.io_manager import (
        PostgresIOManager,
        PostgresPandasIOManager,
        PostgresPolarsIOManager,
    )
    from tranship.postgres.resource import PostgresResource
    from tranship.reads import ReadRequest
    from tranship.redshift.io_manager import (
        RedshiftIOManager,
        RedshiftPandasIOManager,
        RedshiftPolarsIOManager,
    )
    from tranship.redshift.resource import RedshiftResource
    from tranship.replication.component import ReplicationComponent
    from tranship.runs.launcher import ContainerRunLauncher
    from tranship.slices import AllOf, Interval, KeyRange, TimeWindow, Values, WholeTable
    from tranship.spool import SpoolIOManager
    from tranship.sqlserver.resource import SqlServerResource
    from tranship.tables import TableName
    from tranship.writes import WriteRequest, WriteResult

# The module of each name, once more as text: the imports above are for readers of types only.
_HOMES = {
    "AlertSettings": "alerts.settings",
    "AllOf": "slices",
    "Batches": "frames",
    "ConfigurationError": "errors",
    "ConnectionFailedError": "errors",
    "ContainerRunLauncher": "runs.launcher",
    "Interval": "slices",
    "KeyRange": "slices",
    "PostgresIOManager": "postgres.io_manager",
    "PostgresPandasIOManager": "postgres.io_manager",
    "PostgresPolarsIOManager": "postgres.io_manager",
    "PostgresResource": "postgres.resource",
    "ReadRequest": "reads",
    "RedshiftIOManager": "redshift.io_manager",
    "RedshiftPandasIOManager": "redshift.io_manager",
    "RedshiftPolarsIOManager": "redshift.io_manager",
    "RedshiftResource": "redshift.resource",
    "ReplicationComponent": "replication.component",
    "RowsOutsideSliceError": "errors",
    "SchemaDriftError": "errors",
    "SpoolIOManager": "spool",
    "SqlServerResource": "sqlserver.resource",
    "TableName": "tables",
    "TableNotFoundError": "errors",
    "TimeWindow": "slices",
    "TransientError": "errors",
    "TranshipError": "errors",
    "ValueDoesNotFitError": "errors",
    "Values": "slices",
    "WholeTable": "slices",
    "WriteFailedError": "errors",
    "WriteRequest": "writes",
    "WriteResult": "writes",
    "as_failures": "failures",
    "build_alert_sensors": "alerts.sensors",
}

__all__ = [
    "AlertSettings",
    "AllOf",
    "Batches",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContainerRunLauncher",
    "Interval",
    "KeyRange",
    "PostgresIOManager",
    "PostgresPandasIOManager",
    "PostgresPolarsIOManager",
    "PostgresResource",
    "ReadRequest",
    "RedshiftIOManager",
    "RedshiftPandasIOManager",
    "RedshiftPolarsIOManager",
    "RedshiftResource",
    "ReplicationComponent",
    "RowsOutsideSliceError",
    "SchemaDriftError",
    "SpoolIOManager",
    "SqlServerResource",
    "TableName",
    "TableNotFoundError",
    "TimeWindow",
    "TranshipError",
    "TransientError",
    "ValueDoesNotFitError",
    "Values",
    "WholeTable",
    "WriteFailedError",
    "WriteRequest",
    "WriteResult",
    "as_failures",
    "build_alert_sensors",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

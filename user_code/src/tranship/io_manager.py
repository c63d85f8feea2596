"""The Dagster edge that the Postgres and Redshift IO managers share.

It reads what to write where from a Dagster context, and says afterwards what was done. How a target
writes is the target's own business.
"""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import logging
import re
import sys
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import dagster as dg
import pyarrow as pa
from pydantic import Field, PrivateAttr
from typing_extensions import override

from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.failures import as_failures
from tranship.frames import Batches
from tranship.names import shortened
from tranship.partitions import slice_of_partitions
from tranship.reads import ReadRequest
from tranship.slices import Nothing, Slice, WholeTable
from tranship.tables import TableName, TableSchema
from tranship.writers import Writers, output_name
from tranship.writes import OnSchemaChange, WriteMode, WriteRequest, WriteResult

WRITE_METADATA = (
    "table",
    "schema",
    "mode",
    "key",
    "partition_expr",
    "partition_column_zone",
    "partition_key_ranges",
    "on_schema_change",
    "column_types",
    "round",
)
"""Metadata of an asset or op output that says how it is written; README.md of the docs lists them."""


NAMESPACE = "tranship"
TARGET_METADATA = "tranship/target"
"""Metadata of an asset whose key need not spell its table's name: schema and name."""

_MAPPED_STEP = re.compile(r"\[(\w+)\]$")


class TableIOManager(dg.ConfigurableIOManager):
    """Stores what assets and ops return as tables, and loads tables as what they ask for.

    The table is the last part of the asset key, or the `table` metadata; its schema is the `schema`
    metadata, or this IO manager's, or the asset key's part before the last, or `public`. An op's output is the
    table of its name, or where it has none of its own `<job>__<step>`; each key of a mapped op has a table of its
    own, `<output>_<key>`. Two steps of one run may not replace one table. Metadata of the asset or output (see
    `WRITE_METADATA`) decides the rest.

    Subclasses implement `write` and `read` for one target and set `default_load_type`.
    """

    schema_: str | None = Field(
        default=None,
        alias="schema",
        description="Schema of tables that do not name one themselves.",
    )
    # Literals, not the enums: Dagster's configuration takes an enum by its name, APPEND.
    mode: Literal["replace", "append", "merge"] = Field(
        default="replace",
        description="What a write does with the rows that are there: replace, append or merge. "
        "Overridden by an asset's `mode` metadata.",
    )
    on_schema_change: Literal["error", "evolve", "rebuild"] = Field(
        default="error",
        description="What happens when columns differ from the table's: error, evolve (add columns and "
        "widen types), or rebuild (make a table anew that is replaced as a whole). Overridden by an asset's `on_schema_change` metadata.",
    )

    _writers: Writers | None = PrivateAttr(default=None)

    @property
    def longest_name_bytes(self) -> int:
        """How long a table's name may be, in bytes of UTF-8; as long as one likes, unless a target says."""
        return sys.maxsize

    @property
    @abstractmethod
    def default_load_type(self) -> Any:
        """What an input without a type annotation is loaded as."""

    @abstractmethod
    def write(self, request: WriteRequest, batches: Batches, log: logging.Logger) -> WriteResult:
        """Write one stream of batches to the target."""

    @abstractmethod
    def read(self, request: ReadRequest, log: logging.Logger) -> Batches:
        """Start reading from the target."""

    @override
    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write an output to its table and attach what was done as metadata.

        Raises:
            dagster.Failure: The write failed; the old rows are untouched.
        """
        if obj is None:
            context.log.info(f"{_owner(context)} returned None: nothing is written.")
            return
        with as_failures():
            request = self.write_request(context)
            self._refuse_rivals(context, request)
            context.log.info(f"Starting {request}.")
            result = self.write(request, Batches.of(obj), context.log)
        add_metadata(context, _output_metadata(context, result))
        context.log.info(
            f"Finished {request}: {result.rows:,} rows in {result.seconds:.2f} s "
            f"({result.rows_per_second:,.0f} rows/s)."
        )

    @override
    def load_input(self, context: dg.InputContext) -> Any:
        """Read a table, or the partitions of it that the step depends on.

        Raises:
            dagster.Failure: The table cannot be read, or not as the annotated type.
        """
        with as_failures():
            request = self.read_request(context)
            context.log.info(f"Reading {request}.")
            batches = _raising_failures(self._read_if_any(request, context.log))
            return batches.to(self._load_type(context))

    def _read_if_any(self, request: ReadRequest, log: logging.Logger) -> Batches:
        try:
            return self.read(request, log)
        except TableNotFoundError:
            if not isinstance(request.slice, Nothing):
                raise
            # The first partition of an asset that reads its own earlier ones: no table yet.
            log.info(f"There is no table {request.table} yet: an empty one is read.")
            return Batches(pa.schema([]), lambda: iter(()))

    def write_request(self, context: dg.OutputContext) -> WriteRequest:
        """What a context asks to be written.

        Raises:
            ConfigurationError: The metadata is incomplete or contradicts itself.
        """
        metadata = context.definition_metadata or {}
        table, mode = self._target(context)
        key = _mapping_key(context)
        if key and metadata.get("table") and mode is WriteMode.REPLACE:
            raise ConfigurationError(
                f"The {_owner(context)} is written once per mapping key, and each key would replace "
                f"the rows of the others in {table}.",
                f"Leave out its table metadata, so that each key has a table of its own, such as "
                f"{output_name(context)}_{key}; or set its mode to append or merge.",
            )
        return WriteRequest(
            table=table,
            mode=mode,
            slice=_written_slice(context, metadata),
            key=_names(metadata, "key", context),
            on_schema_change=_choice(
                OnSchemaChange, metadata, "on_schema_change", self.on_schema_change, context
            ),
            column_types=metadata.get("column_types") or {},
            round=bool(metadata.get("round", False)),
        )

    def read_request(self, context: dg.InputContext) -> ReadRequest:
        """What a context asks to be read.

        Raises:
            ConfigurationError: The metadata is incomplete or contradicts itself.
        """
        upstream = context.upstream_output
        metadata = (upstream.definition_metadata if upstream is not None else None) or {}
        own = context.definition_metadata or {}
        return ReadRequest(
            table=self._table(
                upstream if upstream is not None else context, {**metadata, **_table_only(own)}
            ),
            slice=_read_slice(context, metadata),
            columns=_names(own, "columns", context) or None,
        )

    def _table(
        self, context: dg.OutputContext | dg.InputContext, metadata: Mapping[str, Any]
    ) -> TableName:
        path = list(context.asset_key.path) if context.has_asset_key else [context.name]
        schema = metadata.get("schema") or self.schema_ or (path[-2] if len(path) > 1 else "public")
        if named := metadata.get("table"):
            return TableName.parse(named, default_schema=schema)
        if target := metadata.get(TARGET_METADATA):
            return TableName(target[0], shortened(target[1], self.longest_name_bytes))
        name = path[-1]
        if not context.has_asset_key and isinstance(context, dg.OutputContext):
            name = output_name(context)
        key = _mapping_key(context)
        return TableName(schema, self._fitting(f"{name}_{key}" if key else name, given=path[-1]))

    def _fitting(self, name: str, given: str) -> str:
        """A name that was made up here, as short as it has to be; one that was given is for its giver to shorten."""
        return name if name == given else shortened(name, self.longest_name_bytes)

    def _target(self, context: dg.OutputContext) -> tuple[TableName, WriteMode]:
        """Which table an output is, and how it is written."""
        metadata = context.definition_metadata or {}
        mode = _choice(WriteMode, metadata, "mode", self.mode, context)
        return self._table(context, metadata), mode

    def _refuse_rivals(self, context: dg.OutputContext, request: WriteRequest) -> None:
        """Refuse to replace what another step of the same run replaces."""
        if request.mode is not WriteMode.REPLACE:
            return
        try:
            step = context.step_context
        except dg.DagsterInvariantViolationError:
            return  # a context that was built by hand belongs to no run
        if self._writers is None or self._writers.run_id != step.run_id:
            self._writers = Writers.of_run(step, self._target)
        if rivals := self._writers.rivals(step, context.name, request.table):
            raise ConfigurationError(
                f"{request.table} is written by several steps of this run, which would replace each other's rows: "
                f"{', '.join([context.step_key, *rivals])}.",
                "Give each output a table of its own with table in its metadata, or a name of its own; or set mode to "
                "append or merge.",
            )

    def _load_type(self, context: dg.InputContext) -> Any:
        annotation = _inner(context.dagster_type.typing_type)
        # Without an annotation it is Any, which is a class since Python 3.11.
        plain = isinstance(annotation, type) and annotation is not Any
        return annotation if plain else self.default_load_type


def _inner(annotation: Any) -> Any:
    """What `X | None` asks for, and `list[X]`, the parameter that collects several outputs: X."""
    inner = [one for one in get_args(annotation) if one is not type(None)]
    wraps = get_origin(annotation) in {list, Union, UnionType} and len(inner) == 1
    return inner[0] if wraps else annotation


def write_metadata(result: WriteResult) -> dict[str, Any]:
    """A write's result as Dagster metadata: plotted numbers, the column schema, the table's name.

    The `dagster/` keys are those that Dagster's own pages read
    (https://docs.dagster.io/guides/build/assets/metadata-and-tags/table-metadata). They count what
    the table or partition holds, which only a replacing write knows. All others begin with
    `tranship/`: names without it are the user's, whose own `rows` say something else.
    """
    whole = isinstance(result.slice, WholeTable)
    rows_key = "dagster/row_count" if whole else "dagster/partition_row_count"
    return {
        "dagster/table_name": str(result.table),
        "dagster/column_schema": column_schema(result.schema),
        **({rows_key: result.rows} if result.mode is WriteMode.REPLACE else {}),
        **namespaced(
            {
                "rows": result.rows,
                "bytes": result.bytes,
                "seconds": round(result.seconds, 3),
                "rows_per_second": round(result.rows_per_second),
                "mode": str(result.mode),
                "slice": str(result.slice),
                **result.details,
            }
        ),
    }


def namespaced(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata under names that are ours.

    Example:
        >>> namespaced({"rows": 3})
        {'tranship/rows': 3}
    """
    return {f"{NAMESPACE}/{name}": value for name, value in metadata.items()}


def add_metadata(context: dg.OutputContext, metadata: Mapping[str, Any]) -> None:
    """Attach metadata to an output, except where the user's function has said something under that name.

    Dagster would let the IO manager's word win.
    """
    from_function = context.output_metadata
    context.add_output_metadata(
        {name: value for name, value in metadata.items() if name not in from_function}
    )


def _output_metadata(context: dg.OutputContext, result: WriteResult) -> dict[str, Any]:
    """A write's metadata; Dagster attaches it to each partition of the run."""
    metadata = write_metadata(result)
    if context.has_asset_partitions and len(context.asset_partition_keys) > 1:
        # The write knows how many rows all of them have, which is no partition's own count.
        metadata.pop("dagster/partition_row_count", None)
    return metadata


def column_schema(schema: TableSchema) -> dg.TableSchema:
    """A table's columns in the form that Dagster's pages show."""
    key = set(schema.primary_key)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.source_type or column.type),
                description=column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, other=["primary key"] if column.name in key else []
                ),
            )
            for column in schema.columns
        ]
    )


def _raising_failures(batches: Batches) -> Batches:
    """The same batches; an error in the middle of reading is a failure too."""

    def passed_on() -> Iterator[pa.RecordBatch]:
        with as_failures():
            yield from batches.open()

    return replace(batches, open=passed_on)


def _written_slice(context: dg.OutputContext, metadata: Mapping[str, Any]) -> Slice:
    if context.has_asset_partitions:
        return _slice(
            context.asset_partitions_def, context.asset_partition_keys, _owner(context), metadata
        )
    return WholeTable() if context.has_asset_key else _job_slice(context, _owner(context), metadata)


def _read_slice(context: dg.InputContext, metadata: Mapping[str, Any]) -> Slice:
    if context.has_asset_partitions:
        return _slice(
            context.asset_partitions_def, context.asset_partition_keys, _owner(context), metadata
        )
    upstream = context.upstream_output
    if upstream is None or upstream.has_asset_key:
        return WholeTable()
    return _job_slice(context, _owner(upstream), metadata)


def _job_slice(
    context: dg.OutputContext | dg.InputContext, owner: str, metadata: Mapping[str, Any]
) -> Slice:
    """In a partitioned job of plain ops, an output is that partition's rows and no more."""
    partitions_def = context.step_context.job_def.partitions_def
    if partitions_def is None or not context.has_partition_key:
        return WholeTable()
    return _slice(partitions_def, [context.partition_key], owner, metadata)


def _slice(
    partitions_def: dg.PartitionsDefinition[Any],
    keys: Sequence[str],
    owner: str,
    metadata: Mapping[str, Any],
) -> Slice:
    return slice_of_partitions(
        partitions_def,
        keys,
        owner=owner,
        partition_expr=metadata.get("partition_expr"),
        column_zone=metadata.get("partition_column_zone") or "UTC",
        key_ranges=metadata.get("partition_key_ranges"),
    )


def _mapping_key(context: dg.OutputContext | dg.InputContext) -> str | None:
    """Which of the steps or outputs of a mapped op this is; `None` for all others."""
    if context.has_asset_key or not isinstance(context, dg.OutputContext):
        return None
    if context.mapping_key is not None:
        return context.mapping_key
    match = _MAPPED_STEP.search(context.step_key)
    return match[1] if match else None


def _owner(context: dg.OutputContext | dg.InputContext) -> str:
    if context.has_asset_key:
        return f"asset {context.asset_key.to_user_string()}"
    return (
        f'output "{context.name}" of op {context.op_def.name}'
        if context.op_def
        else f'"{context.name}"'
    )


def _table_only(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metadata[name] for name in ("table", "schema") if name in metadata}


def _choice(
    choices: Any, metadata: Mapping[str, Any], name: str, default: Any, context: dg.OutputContext
) -> Any:
    value = metadata.get(name, default)
    try:
        return choices(value)
    except ValueError as error:
        allowed = ", ".join(str(choice) for choice in choices)
        raise ConfigurationError(
            f"The {_owner(context)} has {name} {value!r} in its metadata.",
            f"It is one of {allowed}.",
        ) from error


def _names(
    metadata: Mapping[str, Any], name: str, context: dg.OutputContext | dg.InputContext
) -> tuple[str, ...]:
    value = metadata.get(name) or ()
    names: tuple[Any, ...] = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(one, str) for one in names):
        raise ConfigurationError(
            f"The {_owner(context)} has {name} {value!r} in its metadata.",
            f'Give column names: {{"{name}": ["id"]}}.',
        )
    return names

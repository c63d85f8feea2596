"""Running an UNLOAD: Postgres' rows stream into files of S3, a bounded amount at a time."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote as percent

import pyarrow as pa

from standins.redshift import wire
from standins.redshift.authorization import without_keys
from standins.redshift.context import Context
from standins.redshift.errors import INTERNAL, UNSUPPORTED, BackendError, RedshiftError
from standins.redshift.statements import literal
from standins.redshift.storage import Storage, split_url
from standins.redshift.unload_command import UnloadCommand
from standins.redshift.unload_files import ByteFeed, FileSet, TextFiles, WrittenFile, write_parquet

_TYPES: dict[int, pa.DataType] = {
    16: pa.bool_(), 20: pa.int64(), 21: pa.int16(), 23: pa.int32(), 700: pa.float32(),
    701: pa.float64(), 1082: pa.date32(), 1083: pa.time64("us"), 1114: pa.timestamp("us"),
    1184: pa.timestamp("us"), 17: pa.binary(),
}  # fmt: skip
_NUMERIC, _TIMESTAMPTZ, _VARBYTE = 1700, 1184, 17
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_NOT_EMPTY = (
    "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, "
    "manually removing the target files in S3, or using the ALLOWOVERWRITE option."
)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    alias: str
    oid: int
    modifier: int

    @property
    def expression(self) -> str:
        if self.oid == _TIMESTAMPTZ:  # Redshift drops the zone
            return f"{self.alias} at time zone 'UTC'"
        return f"encode({self.alias}, 'hex')" if self.oid == _VARBYTE else self.alias


async def run_unload(context: Context, command: UnloadCommand, text: str) -> str:
    """Run an UNLOAD and return its command tag.

    Raises:
        RedshiftError: refused, as Redshift would.
    """
    query_id = context.services.ids.next()
    storage = await context.storage(command.authorization)
    storage.kms_key = command.kms_key
    bucket, prefix = split_url(command.target)
    if command.partition_by and not prefix.endswith("/"):
        prefix += "/"
    await asyncio.to_thread(_clear, storage, command, bucket, prefix)
    context.last["last_unload_id"] = context.last["last_query_id"] = query_id
    catalogue, error, written = context.catalogue, None, []
    await asyncio.to_thread(
        catalogue.record_query,
        *(context.user, query_id, context.session_id, "UNLOAD", without_keys(text)),
    )
    own_transaction = not context.in_transaction
    try:
        if own_transaction:  # one snapshot for everything that is read
            await context.backend.run("begin read only")
        written = await _unload(context, command, storage, bucket, prefix)
    except (RedshiftError, BackendError) as failure:
        error = str(failure)
        raise
    finally:
        if own_transaction and context.in_transaction:
            await context.backend.run("commit" if error is None else "rollback")
        rows = sum(file.rows for file in written)
        await asyncio.to_thread(catalogue.record_end, query_id, rows, error)
    context.last["last_unload_count"] = rows
    context.notice(f"UNLOAD completed, {rows} record(s) unloaded successfully.")
    return "UNLOAD"


def _clear(storage: Storage, command: UnloadCommand, bucket: str, prefix: str) -> None:
    existing = storage.objects(bucket, prefix)
    if not existing or command.flag("ALLOWOVERWRITE"):
        return
    if not command.flag("CLEANPATH"):
        raise RedshiftError(_NOT_EMPTY, INTERNAL)
    storage.delete(bucket, [item.key for item in existing])


async def _unload(
    context: Context, command: UnloadCommand, storage: Storage, bucket: str, prefix: str
) -> list[WrittenFile]:
    columns = await _describe(context, command.query)
    source = f"({command.query}\n) as q({', '.join(c.alias for c in columns)})"
    parts = await _partitions(context, command, columns, source)
    kept = [c for c in columns if command.include_partitions or c.name not in command.partition_by]
    if not kept:
        raise RedshiftError("UNLOAD needs at least one column that is no partition", UNSUPPORTED)
    schema = pa.schema([pa.field(c.name, await _type(context, c, source)) for c in kept])
    written = []
    for folder, condition in parts:
        files = FileSet(command, storage, bucket, prefix + folder)
        expressions = ", ".join(c.expression for c in kept)
        query = f"select {expressions} from {source} where {condition}"
        if command.format == "parquet":
            await _parquet(context, command, query, schema, files)
        else:
            await _text(context, command, query, kept, files)
        written += files.written
    if command.manifest:
        body = json.dumps(_manifest(command, written, kept, schema), indent=2).encode()
        await asyncio.to_thread(storage.put, bucket, prefix + "manifest", body)
    return written


async def _describe(context: Context, query: str) -> list[_Column]:
    fields: list[wire.Field] = []
    async with context.backend.private(f"select * from ({query}\n) q limit 0") as statement:
        async for kind, payload in statement.frames():
            if kind == b"T":
                fields = wire.row_description(payload)
    return [
        _Column(f.name, f"c{index}", f.type_oid, f.type_modifier) for index, f in enumerate(fields)
    ]


async def _type(context: Context, column: _Column, source: str) -> pa.DataType:
    if column.oid != _NUMERIC:
        return _TYPES.get(column.oid, pa.string())
    if column.modifier > 4:
        modifier = column.modifier - 4
        return pa.decimal128(modifier >> 16 & 0xFFFF, modifier & 0x7FF)
    # Postgres forgets a computed number's scale; Redshift would have numeric(38, scale).
    rows = (await context.backend.run(f"select max(scale({column.alias})) from {source}")).rows
    return pa.decimal128(38, int(rows[0][0] or 0))


async def _partitions(
    context: Context, command: UnloadCommand, columns: Sequence[_Column], source: str
) -> list[tuple[str, str]]:
    """Folder and condition of every partition; one without either if there is no PARTITION BY."""
    if not command.partition_by:
        return [("", "true")]
    known = {c.name: c for c in columns}
    for name in command.partition_by:
        if name not in known:
            text = f'partition column "{name}" is not in the select list of UNLOAD'
            raise RedshiftError(text, "42703")
    aliases = [known[name].alias for name in command.partition_by]
    listed = ", ".join(f"{alias}::text" for alias in aliases)
    rows = (await context.backend.run(f"select distinct {listed} from {source}")).rows
    found = []
    for row in sorted(rows, key=str):
        pairs = list(zip(command.partition_by, aliases, row, strict=True))
        folder = "".join(
            f"{name}={_NULL_PARTITION if v is None else percent(v, safe=' :,+')}/"
            for name, _, v in pairs
        )
        condition = " and ".join(
            f"{alias} is null" if v is None else f"{alias}::text = {literal(v)}"
            for _, alias, v in pairs
        )
        found.append((folder, condition))
    return found


async def _parquet(
    context: Context, command: UnloadCommand, query: str, schema: pa.Schema, files: FileSet
) -> None:
    feed = ByteFeed()
    slices = context.services.slices if command.parallel else 1
    loop = asyncio.get_running_loop()
    writing = loop.run_in_executor(
        None, write_parquet, feed, schema, files, slices, command.max_file_bytes
    )

    async def hand_over(data: bytes) -> None:
        while not writing.done() and not feed.offer(data):
            await asyncio.sleep(0.002)

    try:
        async with context.backend.private(f"copy ({query}) to stdout with (format csv)") as rows:
            async for _, payload in rows.frames():
                if isinstance(payload, wire.Rows):
                    await hand_over(payload)
    finally:
        await hand_over(b"")
    try:
        await writing
    except (pa.ArrowException, ValueError, OverflowError) as error:
        text = f"UNLOAD cannot write a value: {error}".splitlines()[0]
        raise RedshiftError(text, INTERNAL) from error


async def _text(
    context: Context,
    command: UnloadCommand,
    query: str,
    columns: Sequence[_Column],
    files: FileSet,
) -> None:
    csv = command.format == "csv"
    delimiter = str(command.options.get("DELIMITER", "," if csv else "|"))
    null = str(command.options.get("NULL", ""))
    words = [f"delimiter {literal(delimiter)}", f"null {literal(null)}"]
    words.append("format csv" if csv or command.flag("ADDQUOTES") else "format text")
    if command.flag("ADDQUOTES"):
        words.append("force_quote *")
    header = delimiter.join(c.name for c in columns) + "\n" if command.flag("HEADER") else ""
    slices = context.services.slices if command.parallel else 1
    sink = await asyncio.to_thread(TextFiles, command, files, slices, header.encode())
    sql = f"copy ({query}) to stdout with ({', '.join(words)})"
    async with context.backend.private(sql) as rows:
        async for _, payload in rows.frames():
            if isinstance(payload, wire.Rows):
                await asyncio.to_thread(sink.write, payload, payload.frames)
    await asyncio.to_thread(sink.close)


def _manifest(
    command: UnloadCommand,
    written: Sequence[WrittenFile],
    columns: Sequence[_Column],
    schema: pa.Schema,
) -> dict[str, object]:
    sized = command.verbose or command.format == "parquet"
    entries: list[dict[str, object]] = []
    for file in written:
        meta: dict[str, int] = {"content_length": file.size}
        if command.verbose:
            meta["record_count"] = file.rows
        entries.append({"url": file.url, "meta": meta} if sized else {"url": file.url})
    if not command.verbose:
        return {"entries": entries}
    elements = [
        {"name": c.name, "type": _schema_type(c, field.type)}
        for c, field in zip(columns, schema, strict=True)
    ]
    total = {
        "content_length": sum(file.size for file in written),
        "record_count": sum(file.rows for file in written),
    }
    author = {"name": "Amazon Redshift", "version": "1.0.0"}
    return {"entries": entries, "schema": {"elements": elements}, "meta": total, "author": author}


def _schema_type(column: _Column, kind: pa.DataType) -> dict[str, object]:
    names = {
        "bool": "boolean", "int16": "smallint", "int32": "integer", "int64": "bigint",
        "float": "real", "double": "double precision", "date32[day]": "date",
        "timestamp[us]": "timestamp without time zone", "time64[us]": "time without time zone",
        "binary": "binary varying",
    }  # fmt: skip
    if pa.types.is_decimal(kind):
        return {"base": "numeric", "precision": kind.precision, "scale": kind.scale}
    if column.oid == _TIMESTAMPTZ:
        return {"base": "timestamp with time zone"}
    if pa.types.is_string(kind):
        length = column.modifier - 4 if column.modifier > 4 else 65_535
        base = "character" if column.oid == 1042 else "character varying"
        return {"base": base, "max_length": length}
    return {"base": names[str(kind)]}

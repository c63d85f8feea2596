"""CSV, delimited and JSON files for COPY, with the rows that are refused and MAXERROR.

https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-format.html
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv

from standins.redshift.copy_command import CopyCommand
from standins.redshift.errors import INTERNAL, UNSUPPORTED, LoadError, RedshiftError, internal
from standins.redshift.storage import S3Object, Storage
from standins.redshift.text_values import Bad, Converter
from standins.redshift.types import TableColumn

BLOCK_BYTES = 2 * 1024 * 1024
JSON_ROWS = 4096
#: The largest JSON object that COPY reads.
MAX_JSON_BYTES = 4 * 1024 * 1024
_COMPRESSIONS = {"GZIP": "gzip", "BZIP2": "bz2", "ZSTD": "zstd"}
_PATH_STEP = re.compile(r"\.(\w+)|\['([^']+)'\]|\[(\d+)\]")


class TextLoad:
    """The text files of one COPY.

    Args:
        command: the COPY.
        columns: the table's columns that the file's fields fill, in order.
        storage: where a JSONPaths file is read from.

    Attributes:
        skipped: rows that MAXERROR let pass, for STL_LOAD_ERRORS.
    """

    def __init__(
        self, command: CopyCommand, columns: Sequence[TableColumn], storage: Storage
    ) -> None:
        self.skipped: list[LoadError] = []
        self._command, self._columns = command, columns
        self._converters = [Converter(column, command) for column in columns]
        self._pick: Callable[[Any], list[Any]] | None = None
        self._storage = storage
        given = [name for name in _COMPRESSIONS if command.flag(name)]
        if len(given) > 1:
            raise RedshiftError(f"{given[0]} and {given[1]} exclude each other", UNSUPPORTED)
        self._compression: Any = _COMPRESSIONS[given[0]] if given else None

    def batches(self, path: Path, item: S3Object) -> Iterator[pa.RecordBatch]:
        """The rows of one file in the table's types; runs in a thread.

        Raises:
            RedshiftError: more rows were refused than MAXERROR allows.
        """
        try:
            with pa.input_stream(str(path), compression=self._compression) as stream:
                found = self._json(stream, item) if self._command.format == "json" else None
                for first_line, batch in found or self._delimited(stream, item):
                    yield self._convert(batch, first_line, item)
        except (OSError, EOFError) as error:
            kind = (self._compression or "the file").upper()
            raise internal(f"{kind} cannot be read: {error}", 8001, item.url) from error

    # --- delimited ------------------------------------------------------------------------------
    def _delimited(self, stream: Any, item: S3Object) -> Iterator[tuple[int, pa.RecordBatch]]:
        command = self._command
        names = [column.name for column in self._columns]
        invalid: list[Any] = []

        def handle(row: Any) -> Literal["skip", "error"]:
            invalid.append(row)
            return "skip"

        csv = command.format == "csv"
        quote: str | bool = command.text("QUOTE", '"') if csv else False
        quote = '"' if command.flag("REMOVEQUOTES") else quote
        header = command.number("IGNOREHEADER")
        try:
            reader = pyarrow.csv.open_csv(
                stream,
                pyarrow.csv.ReadOptions(
                    column_names=names, skip_rows=header, use_threads=False, block_size=BLOCK_BYTES
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=command.text("DELIMITER", "," if csv else "|").replace("\\t", "\t"),
                    quote_char=quote,
                    double_quote=csv,
                    escape_char="\\" if command.flag("ESCAPE") else False,
                    newlines_in_values=True,
                    ignore_empty_lines=command.flag("IGNOREBLANKLINES") or len(names) > 1,
                    invalid_row_handler=handle,
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.binary()),
                    null_values=[command.text("NULL", "\\N")],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error) and not invalid:
                return
            self._invalid_rows(invalid, item, header)
            return
        line, seen = header + 1, 0
        for batch in reader:
            self._invalid_rows(invalid[seen:], item, header)
            yield line, batch
            line += batch.num_rows + len(invalid) - seen
            seen = len(invalid)
        self._invalid_rows(invalid[seen:], item, header)

    def _invalid_rows(self, rows: Sequence[Any], item: S3Object, header: int) -> None:
        for row in rows:
            code, reason = 1202, "Extra column(s) found"
            if row.actual_columns < row.expected_columns:
                code, reason = 1201, "Delimiter not found"
            line = header + (row.number or 0)
            self._refuse(LoadError(item.url, line, "", "", "", "", row.text, code, reason))

    # --- JSON -----------------------------------------------------------------------------------
    def _json(self, stream: Any, item: S3Object) -> Iterator[tuple[int, pa.RecordBatch]]:
        pick = self._pick = self._pick or self._picker()
        rows: list[list[bytes | None]] = []
        line = first = 1
        for line, value in self._objects(stream, item):
            rows.append(
                [_json_bytes(v, c) for v, c in zip(pick(value), self._columns, strict=True)]
            )
            if len(rows) >= JSON_ROWS:
                yield first, self._binary(rows)
                rows, first = [], line + 1
        if rows:
            yield first, self._binary(rows)

    def _binary(self, rows: list[list[bytes | None]]) -> pa.RecordBatch:
        arrays = [pa.array(list(values), pa.binary()) for values in zip(*rows, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, [column.name for column in self._columns])

    def _objects(self, stream: Any, item: S3Object) -> Iterator[tuple[int, Any]]:
        """Each JSON object with its last line; an object may span lines."""
        waiting, number = "", 0
        for number, text in enumerate(_lines(stream), start=1):
            waiting += text
            if not waiting.strip():
                waiting = ""
                continue
            try:
                yield number, json.loads(waiting)
                waiting = ""
            except ValueError as error:
                whole = waiting.rstrip().endswith("}") and waiting.count("{") <= waiting.count("}")
                if whole or len(waiting) > MAX_JSON_BYTES:
                    self._bad_json(item, number, waiting, error)
                    waiting = ""
        if waiting.strip():
            self._bad_json(item, number, waiting, ValueError("unexpected end of file"))

    def _bad_json(self, item: S3Object, line: int, text: str, error: ValueError) -> None:
        reason = f"Invalid JSON format: {error}"
        self._refuse(LoadError(item.url, line, "", "", "", "", text, 1224, reason))

    def _picker(self) -> Callable[[Any], list[Any]]:
        mode = self._command.json_paths
        names = [column.name for column in self._columns]
        if mode == "auto":
            return lambda value: [value.get(name) for name in names]
        if mode == "auto ignorecase":
            return lambda value: _ignore_case(value, names)
        if mode == "noshred":
            if len(names) != 1 or self._columns[0].kind != "jsonb":
                text = "COPY JSON noshred needs exactly one SUPER column"
                raise RedshiftError(text, UNSUPPORTED)
            return lambda value: [value]
        paths = json.loads(self._storage.read(mode)).get("jsonpaths", [])
        if len(paths) != len(names):
            text = "Number of jsonpaths and the number of columns should match."
            raise internal(
                f"{text} JSONPath size: {len(paths)}, Number of columns: {len(names)}", 8001
            )
        steps = [_path_steps(path) for path in paths]
        return lambda value: [_follow(value, path) for path in steps]

    # --- rows -----------------------------------------------------------------------------------
    def _convert(self, batch: pa.RecordBatch, first_line: int, item: S3Object) -> pa.RecordBatch:
        arrays, bad = [], []
        for index, converter in enumerate(self._converters):
            array, refused = converter.convert(batch.column(index))
            arrays.append(array)
            bad += refused
        names = [column.name for column in self._columns]
        found = pa.RecordBatch.from_arrays(arrays, names)
        if not bad:
            return found
        worst: dict[int, Bad] = {}
        for one in sorted(bad, key=lambda b: b.row):
            worst.setdefault(one.row, one)
        for row, one in worst.items():
            self._refuse(self._load_error(batch, one, first_line + row, item))
        kept = [row not in worst for row in range(batch.num_rows)]
        return found.filter(pa.array(kept))

    def _load_error(self, batch: pa.RecordBatch, bad: Bad, line: int, item: S3Object) -> LoadError:
        values = [batch.column(i)[bad.row].as_py() or b"" for i in range(batch.num_columns)]
        raw = b",".join(values).decode(errors="replace")
        column = bad.column
        length = str(column.max_bytes or "")
        return LoadError(
            *(item.url, line, column.name, column.redshift_type, length, bad.value, raw),
            *(bad.code, bad.reason),
        )

    def _refuse(self, error: LoadError) -> None:
        self.skipped.append(error)
        if len(self.skipped) > self._command.number("MAXERROR"):
            table = self._command.table[-1]
            raise RedshiftError(
                f"Load into table '{table}' failed.  Check 'stl_load_errors' system table for details.",
                INTERNAL,
                load_errors=tuple(self.skipped),
            )


def _lines(stream: Any) -> Iterator[str]:
    rest = b""
    while block := stream.read(BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace") + "\n"
    if rest:
        yield rest.decode(errors="replace")


def _json_bytes(value: Any, column: TableColumn) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str) and column.kind != "jsonb":
        return value.encode()
    return json.dumps(value, separators=(",", ":")).encode()


def _ignore_case(value: dict[str, Any], names: Sequence[str]) -> list[Any]:
    folded = {key.lower(): found for key, found in value.items()}
    return [folded.get(name.lower()) for name in names]


def _path_steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for match in _PATH_STEP.finditer(path.removeprefix("$")):
        name, quoted, index = match.groups()
        steps.append(int(index) if index is not None else name or quoted)
    if not steps:
        raise internal(f"Invalid JSONPath format: {path}", 8001)
    return steps


def _follow(value: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value

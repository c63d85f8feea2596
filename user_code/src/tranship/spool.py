"""Hands tables from step to step as Arrow files, on a disk or in a bucket.

A pickled DataFrame needs the whole table in memory twice. Here a table is written batch by batch and
read back memory-mapped; it stays until it is pruned, so a failed load can be run again alone.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import pyarrow as pa
from pyarrow import fs
from pydantic import Field, PrivateAttr
from typing_extensions import override

from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.failures import as_failures
from tranship.fitting import hold_to
from tranship.frames import Batches
from tranship.io_manager import add_metadata, namespaced
from tranship.names import shortened
from tranship.plain_values import dumps, is_plain, loads

LONGEST_FILE_NAME = 200
"""In bytes; file systems take 255, the ending included."""
SECONDS_PER_DAY = 86_400
_ONLY_MINE = 0o700

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class SpoolIOManager(dg.ConfigurableIOManager):
    """Passes `Batches` and frames between ops as Arrow files, and plain values as JSON.

    On a disk the files are in a folder that only this user may enter, and one that belongs to somebody else is refused.
    Nothing is unpickled: who may write there, or into the bucket, cannot have code run here.

    A file appears under its name only when it is complete. Values are kept by run and step, so
    re-execution from failure finds what the failed run had already extracted.

    Example:
        ```python
        @dg.op(out={"df": dg.Out(Batches, io_manager_key="spool"), "tbl": dg.Out(str)})
        def extract(source: SqlServerResource): ...

        dg.Definitions(resources={"spool": SpoolIOManager(base_uri="file:///var/lib/tranship/spool")})
        ```
    """

    base_uri: str = Field(
        description="Where files are kept: an absolute path, file:///path, or s3://bucket/prefix.",
    )
    keep_days: float = Field(
        default=7.0,
        description="Files of runs older than this many days are removed by later runs; 0 keeps all.",
    )

    _pruned: bool = PrivateAttr(default=False)

    @override
    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write one output.

        Raises:
            dagster.Failure: The place cannot be written, or the batches differ from each other.
        """
        started = time.monotonic()
        with as_failures():
            filesystem, base = self._location()
            self._prune(filesystem, base, context)
            path = _path(base, context)
            if is_plain(obj):
                _store(filesystem, f"{path}.json", dumps(obj))
                return
            rows, size = _store_batches(filesystem, f"{path}.arrow", Batches.of(obj))
        seconds = time.monotonic() - started
        spooled = {"rows": rows, "bytes": size, "seconds": round(seconds, 3)}
        add_metadata(context, namespaced({**spooled, "path": f"{path}.arrow"}))
        context.log.info(f"Spooled {rows:,} rows ({size:,} bytes) in {seconds:.2f} s.")

    @override
    def load_input(self, context: dg.InputContext) -> Any:
        """Read one input: a table as the annotated type (`Batches` by default), else the value.

        Raises:
            dagster.Failure: The upstream step's file is gone.
        """
        upstream = context.upstream_output
        with as_failures():
            if upstream is None:
                raise ConfigurationError(
                    f'The input "{context.name}" comes from no step.',
                    "Connect it to an op's output.",
                )
            filesystem, base = self._location()
            path = _path(base, upstream)
            if _exists(filesystem, f"{path}.json"):
                with filesystem.open_input_stream(f"{path}.json") as stream:
                    return loads(stream.read())
            if not _exists(filesystem, f"{path}.arrow"):
                raise TableNotFoundError(
                    f'What step {upstream.step_key} gave as "{upstream.name}" is no longer in {base}.',
                    "Run the whole job again, or raise keep_days; in containers, give every run the "
                    "same volume or an s3:// base_uri.",
                )
            annotation = context.dagster_type.typing_type
            plain = isinstance(annotation, type) and annotation is not Any
            return _stored_batches(filesystem, f"{path}.arrow").to(annotation if plain else Batches)

    def _location(self) -> tuple[fs.FileSystem, str]:
        try:
            filesystem, base = fs.FileSystem.from_uri(self.base_uri)
        except (pa.ArrowException, OSError) as error:
            raise ConfigurationError(
                f"base_uri {self.base_uri!r} of the spool cannot be used: {error}.",
                "Give an absolute path, file:///path, or s3://bucket/prefix.",
            ) from error
        if isinstance(filesystem, fs.LocalFileSystem):
            make_own_folder(Path(base), "the spool")
        return filesystem, base

    def _prune(self, filesystem: fs.FileSystem, base: str, context: dg.OutputContext) -> None:
        """Remove what runs of long ago left, once per process; another process may be first."""
        if self._pruned or not self.keep_days:
            return
        self._pruned = True
        oldest_kept = time.time() - self.keep_days * SECONDS_PER_DAY
        for run in filesystem.get_file_info(fs.FileSelector(base, allow_not_found=True)):
            if run.type != fs.FileType.Directory:
                continue
            files = filesystem.get_file_info(
                fs.FileSelector(run.path, recursive=True, allow_not_found=True)
            )
            newest = max(
                (one.mtime.timestamp() for one in (run, *files) if one.mtime), default=None
            )
            if newest is not None and newest < oldest_kept:
                try:
                    filesystem.delete_dir(run.path)
                except OSError as error:
                    context.log.warning(f"Could not remove the old spool {run.path}: {error}")
                else:
                    context.log.info(f"Removed the spool of an old run, {run.path}.")


def _path(base: str, context: dg.OutputContext) -> str:
    parts = [
        shortened(quote(part, safe=""), LONGEST_FILE_NAME) for part in context.get_identifier()
    ]
    return "/".join([base.rstrip("/"), *parts])


def _exists(filesystem: fs.FileSystem, path: str) -> bool:
    return filesystem.get_file_info(path).type == fs.FileType.File


def _store(filesystem: fs.FileSystem, path: str, content: bytes) -> None:
    filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
    with filesystem.open_output_stream(f"{path}.part") as stream:
        stream.write(content)
    filesystem.move(f"{path}.part", path)


def _store_batches(filesystem: fs.FileSystem, path: str, batches: Batches) -> tuple[int, int]:
    filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
    rows = size = 0
    # An IPC file has one dictionary for each column, and chunks of frames may bring their own.
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in batches.schema
    ]
    plain = pa.schema(fields).with_metadata(batches.schema.metadata)
    # No compression: the file is read once, soon, from the page cache.
    with (
        filesystem.open_output_stream(f"{path}.part") as stream,
        pa.ipc.new_file(stream, plain) as writer,
    ):
        for batch in hold_to(plain, batches):
            writer.write_batch(batch)
            rows += batch.num_rows
            size += batch.nbytes
    filesystem.move(f"{path}.part", path)
    return rows, size


def _stored_batches(filesystem: fs.FileSystem, path: str) -> Batches:
    def source() -> pa.NativeFile:
        if isinstance(filesystem, fs.LocalFileSystem):
            return pa.memory_map(path)
        return filesystem.open_input_file(path)

    def batches() -> Iterator[pa.RecordBatch]:
        with source() as file, pa.ipc.open_file(file) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    with source() as file, pa.ipc.open_file(file) as reader:
        schema = reader.schema
    return Batches(schema, batches, any_thread=True)


def make_own_folder(path: Path, what: str) -> None:
    """Make a folder that only this user may enter, or see to it that one that is there is so.

    Args:
        path: The folder.
        what: What it is for, for the message: "the spool".

    Raises:
        ConfigurationError: Somebody else owns it, or may write into it, or it is no folder.

    Example:
        >>> make_own_folder(Path("/var/lib/tranship/spool"), "the spool")  # doctest: +SKIP
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=_ONLY_MINE)
    except FileExistsError:
        _check(path, what)
    except OSError as error:
        raise ConfigurationError(
            f"{path}, the folder of {what}, cannot be made: {error.strerror}.",
            "Name one that this user may make.",
        ) from error


def _check(path: Path, what: str) -> None:
    # Not followed: whoever may write into the folder above could have put a link there.
    status = path.lstat()
    remedy = f"Name a folder of your own for {what}."
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{path} is a link or a file, not the folder of {what}.", remedy)
    if os.name == "nt":
        return  # No owner and no mode there: a folder of the user's profile is closed to others by its access list.
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path}, the folder of {what}, belongs to user {status.st_uid}, and this process runs as {os.geteuid()}: "
            "what is read there could be planted.",
            remedy,
        )
    if status.st_mode & _OTHERS_WRITE:
        raise ConfigurationError(
            f"Others may write into {path}, the folder of {what} (mode {stat.S_IMODE(status.st_mode):04o}): what is read "
            "there could be planted.",
            f"Empty it and run chmod 700 on it, or name another folder for {what}.",
        )
    if stat.S_IMODE(status.st_mode) != _ONLY_MINE:
        path.chmod(_ONLY_MINE)

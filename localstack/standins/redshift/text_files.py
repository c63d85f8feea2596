"""Text files for COPY."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from standins.redshift.copy_command import CopyCommand
from standins.redshift.errors import UNSUPPORTED, LoadError, RedshiftError
from standins.redshift.storage import S3Object, Storage
from standins.redshift.types import TableColumn


class TextLoad:
    """Reads delimited, CSV and JSON files."""

    def __init__(
        self, command: CopyCommand, columns: Sequence[TableColumn], storage: Storage
    ) -> None:
        self.command, self.columns, self.storage = command, columns, storage
        self.skipped: tuple[LoadError, ...] = ()

    def batches(self, path: Path, item: S3Object) -> Iterator[pa.RecordBatch]:
        """The rows of one file."""
        raise RedshiftError(f"COPY {self.command.format} is not supported", UNSUPPORTED)

    def finish(self) -> None:
        """After the last file."""

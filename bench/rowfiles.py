"""Arrow files of the rows to load, for the ways that do not read from a server."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from bench.environments import python_of
from bench.fingerprint import Fingerprint, of_batches
from bench.peers import Job, Way, program
from bench.process import run_measured
from bench.shapes import SEED_ROWS, Shape

SEEDS_PER_BATCH = 65_536 // SEED_ROWS


@dataclass(frozen=True, slots=True)
class RowFile:
    """Rows in an Arrow stream file.

    Args:
        path: The file.
        rows: How many there are.
        sent: Their fingerprint.
    """

    path: Path
    rows: int
    sent: Fingerprint


def write_rows(shape: Shape, rows: int, path: Path) -> RowFile:
    """Write so many rows of a shape, in batches of 65,536."""
    schema = shape.seed_batch().schema
    waiting: list[pa.RecordBatch] = []
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in shape.batches(rows):
            waiting.append(batch)
            if len(waiting) == SEEDS_PER_BATCH:
                writer.write_table(pa.Table.from_batches(waiting).combine_chunks())
                waiting.clear()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting).combine_chunks())
    return RowFile(path, rows, of_batches(schema, shape.batches(rows)))


def prepare_limits(file: RowFile, target: str) -> dict[str, str]:
    """What the limits of loading need: the rows as the encoder takes them, and as its bytes.

    Raises:
        RuntimeError: They could not be made.
    """
    made = {
        "fitted": str(file.path.with_suffix(".fitted")),
        "encoded": str(file.path.with_suffix(".encoded")),
    }
    way = Way("prepare", "prepare", "tranship", "", program("limits", "prepare"))
    command, environment = way.command(Job(target=target, file=str(file.path), settings=made))
    used = run_measured(command, environment, timeout_seconds=600)
    if used.returncode:
        raise RuntimeError(f"{python_of('tranship')} limits.py prepare failed: {used.errors}")
    return made

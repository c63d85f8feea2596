"""Loading a whole table waits for no library that it does not need."""

import subprocess
import sys

LOADS = """
import sys
import pyarrow as pa
from tranship.frames import Batches
from tranship.postgres.casting import fit_batch
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.ddl import new_columns
from tranship.postgres.copy_in import encode
from tranship.postgres.writer import write
from tranship.redshift.writer import write as publish
from tranship.tables import TableName, TableSchema
from tranship.writes import WriteRequest

text = pa.Array.from_buffers(
    pa.large_string(), 1, [None, pa.py_buffer((0).to_bytes(8, "little") + (2).to_bytes(8, "little")),
    pa.py_buffer("é".encode())])
batch = pa.RecordBatch.from_arrays([text], schema=pa.schema([
    pa.field("name", pa.large_string(), metadata={"tranship.source_type": "nvarchar(1)"})]))
request = WriteRequest(TableName("public", "t"))
plans = new_columns(request, TableSchema.from_arrow(batch.schema))
assert str(plans[0].type) == "varchar(1)", plans[0].type
fitted = fit_batch(batch, plans, request.table, 0)
assert b"".join(encode(plans).chunks(iter([fitted])))
print(sorted({"pandas", "polars", "sqlalchemy", "dagster"} & set(sys.modules)))
"""


def test_a_whole_table_is_loaded_without_pandas_sqlalchemy_or_dagster() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")

"""A whole small table is read with few requests, and no library it does not need."""

import subprocess
import sys

READS = """
import sys
from tranship.reads import ReadRequest
from tranship.sqlserver.reader import read
from tranship.sqlserver.settings import SqlServerSettings
from tranship.tables import TableName

request = ReadRequest(TableName("dbo", "DimProductCategory"))
rows = read(SqlServerSettings.from_url(sys.argv[1]), request).to_table().num_rows
print(rows, sorted({"pandas", "polars", "sqlalchemy", "dagster", "asyncio"} & set(sys.modules)))
"""


def test_a_whole_table_is_read_without_pandas_sqlalchemy_or_dagster(sqlserver_url):
    done = subprocess.run(
        [sys.executable, "-c", READS, sqlserver_url], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("4 []\n", "")

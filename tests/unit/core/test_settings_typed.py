"""A type checker knows the fields that a resource has from its declarations; read by the checkout's own checker."""

import re
import subprocess
import sys
from pathlib import Path


def test_a_type_checker_knows_the_fields_of_a_resource(tmp_path: Path) -> None:
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    program = tmp_path / "program.py"
    program.write_text(
        "import dagster as dg\n"
        "from tranship import PostgresResource, RedshiftIOManager\n"
        'good = PostgresResource(host="db", database="dw", user="etl", password=dg.EnvVar("P"), port=dg.EnvVar.int("N"))\n'
        "reveal_type(good.port)\n"
        'PostgresResource(host="db", user="etl")\n'
        'PostgresResource(host="db", database="dw", user="etl", sslmod="require")\n'
        'PostgresResource(host="db", database="dw", user="etl", port="x")\n'
        'RedshiftIOManager(database="dw", bucket_name="b", s3_iam_role="default", schema="sales", mode="append")\n'
    )
    checker = Path(sys.executable).with_name("basedpyright")
    done = subprocess.run(
        [checker, "--pythonpath", sys.executable, program],
        check=False, capture_output=True, text=True, cwd=tmp_path, timeout=110,
    )  # fmt: skip
    told = re.findall(r"program\.py:(\d+):\d+ - (\w+): (.*)", done.stdout)
    assert [(int(line), kind) for line, kind, _ in told] == [
        (4, "information"), (5, "error"), (6, "error"), (7, "error"),
    ], done.stdout  # fmt: skip
    assert 'Type of "good.port" is "int"' in done.stdout

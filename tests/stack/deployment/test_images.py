"""What is in the images, and what is not: each megabyte is pulled, scanned and kept on every host."""

import pytest
from compose_stack import ComposeStack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]

BASE = "python:3.13-slim-trixie"
MEGABYTE = 1_000_000
#: What each image adds to its base at most; docs/images.md has what it came to. The base is not ours: from Debian's packages
#: it has 116 MB, and more where it was built before apt's index was kept out of it.
ADDED = {"user-code": 520, "dagster": 175}
GATE = 120
SERVICES = ("user-code", "webserver", "gate", "localstack", "sqlserver")


def megabytes(stack: ComposeStack, image: str) -> float:
    size = stack.engine.images.get(image).attrs["Size"]
    assert isinstance(size, int)
    return size / MEGABYTE


@pytest.mark.parametrize(("name", "most"), ADDED.items())
def test_an_image_adds_no_more_to_its_base_than_it_needs(stack: ComposeStack, name: str, most: int):
    assert megabytes(stack, f"tranship/{name}:dev") - megabytes(stack, BASE) < most


def test_the_gate_is_small_with_all_that_it_stands_on(stack: ComposeStack):
    assert megabytes(stack, "tranship/gate:dev") < GATE


@pytest.mark.parametrize("service", SERVICES)
def test_no_image_holds_what_installs_software_or_tests_of_what_it_holds(
    stack: ComposeStack, service: str
):
    code = """
import importlib.util, pathlib, shutil, sys
packages = pathlib.Path(next(path for path in sys.path if path.endswith('site-packages')))
print([name for name in ('pip', 'ensurepip', 'setuptools') if importlib.util.find_spec(name)])
print(shutil.which('pip'), shutil.which('uv'), list(pathlib.Path('/var/cache/apt').glob('*.bin')))
print([str(found) for found in packages.rglob('tests') if found.is_dir()][:5])
"""
    exit_code, output = stack.python(service, code)
    assert (exit_code, output.split("\n")[:3]) == (0, ["[]", "None None []", "[]"])


def test_the_image_of_the_gate_has_no_second_interpreter(stack: ComposeStack):
    code = "import shutil; print(shutil.which('perl'), shutil.which('apt-get'))"
    assert stack.python("gate", code) == (0, "None None\n")


def test_what_was_taken_out_of_the_user_codes_image_is_missed_by_nothing_there(
    stack: ComposeStack,
):
    code = """
import numpy, pandas, polars, pyarrow, pyarrow.csv, pyarrow.dataset, pyarrow.fs, pyarrow.json, pyarrow.parquet
import boto3, cryptography, grpc, mssql_python, pgpq, psycopg2, sqlalchemy
import dagster, dagster_aws, dagster_postgres, tranship.replication, tranship.runs
frame = polars.DataFrame({'a': [1, 2]})
print(frame['a'].sum(), numpy.linalg.inv(numpy.eye(2)).sum(), len(pandas.DataFrame(pyarrow.table(frame).to_pandas())))
print(boto3.client('dynamodb', region_name='us-east-1').meta.service_model.service_name)
"""
    assert stack.python("user-code", code) == (0, "3 2.0 2\ndynamodb\n")

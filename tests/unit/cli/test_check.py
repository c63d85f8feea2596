"""`tranship check` looks at every component file and names the line, whatever the others say."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tranship.cli import main

HEAD = "type: tranship.replication.ReplicationComponent\nattributes:\n"
RIGHT = HEAD + "  target_schema: {schema}\n  tables:\n    - table: dbo.A\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "defs"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name / "defs.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def check(*places: Path) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, places)])


def test_every_file_of_one_component_type_is_looked_at(folder: Path):
    """`dg check yaml` looks at the last one only."""
    wrong = [
        write(folder, name, HEAD + f"  tables:\n    - table: dbo.{name}\n      mode: upsert\n")
        for name in ("a", "b", "c")
    ]
    write(folder, "right", RIGHT.format(schema="right"))

    answer = check(folder)

    assert answer.exit_code == 1
    lines = answer.output.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{path}:5" for path in wrong]
    assert all("attributes" not in line and "tables.0.mode" in line for line in lines)
    assert "'replace', 'append', 'merge' or 'partition'" in lines[0]


def test_every_document_of_a_file_is_looked_at(folder: Path):
    path = write(
        folder,
        "two",
        RIGHT.format(schema="one") + "---\n" + HEAD + "  tables:\n    - tabel: dbo.B\n",
    )

    answer = check(folder)

    assert answer.exit_code == 1
    assert f"{path}:10: tables.0.tabel: Extra inputs are not permitted." in answer.output


@pytest.mark.parametrize(
    ("tables", "line", "words"),
    [
        ("    - table: dbo.A\n    - {table: dbo.B, mode: append}\n", 5, "needs a cursor"),
        ("    - table: dbo.A\n    - table: dbo.A\n", 5, "stands twice"),
        ("    - {table: dbo.A, target: X}\n    - {table: dbo.B, target: X}\n", 5, "both be copied"),
        (
            "    - table: dbo.A\n      mode: partition\n",
            4,
            "mode partition and partitions go together",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_told_by_line(
    folder: Path, tables: str, line: int, words: str
):
    path = write(folder, "a", HEAD + "  tables:\n" + tables)

    answer = check(folder)

    assert answer.exit_code == 1
    assert answer.output.startswith(f"{path}:{line}: ")
    assert words in answer.output


def test_two_files_that_copy_to_one_table_are_told(folder: Path):
    first = write(folder, "a", RIGHT.format(schema="one"))
    second = write(folder, "b", RIGHT.format(schema="one"))

    answer = check(folder)

    assert answer.exit_code == 1
    assert answer.output.startswith(f"{second}:5: dbo.A would be copied to one.A")
    assert str(first) in answer.output


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("type: tranship.replication.Replication\n", 1, "There is no component type"),
        ("attributes: {}\n", 1, "names no component"),
        ("type: x\nattributes: [\n", 3, "It is no YAML"),
        (
            "type: tranship.replication.ReplicationComponent\nattributes: {}\n",
            2,
            "tables: Field required",
        ),
    ],
)
def test_what_is_no_component_is_told(folder: Path, text: str, line: int, words: str):
    path = write(folder, "a", text)

    answer = check(folder)

    assert answer.exit_code == 1
    assert answer.output.startswith(f"{path}:{line}: ")
    assert words in answer.output


def test_files_that_are_right_are_counted(folder: Path):
    for name in ("a", "b"):
        write(folder, name, RIGHT.format(schema=name))
    write(folder, ".venv/site-packages/x", "nothing: of ours\n")

    answer = check(folder)

    assert (answer.exit_code, answer.output) == (0, "2 component files: nothing wrong.\n")


def test_a_folder_without_component_files_is_no_success(tmp_path: Path):
    assert check(tmp_path).exit_code == 1


def test_the_pipelines_that_ship_are_right():
    import etl

    (place,) = etl.__path__
    answer = check(Path(place))
    assert answer.exit_code == 0, answer.output
    assert yaml.safe_load((Path(place) / "defs/staging/tables/defs.yaml").read_text())

"""`dg scaffold defs` writes a replication that loads as it is."""

from importlib.metadata import entry_points
from pathlib import Path

import dagster as dg
import pytest
import yaml

from tranship.errors import ConfigurationError
from tranship.replication import ReplicationComponent
from tranship.replication.scaffolding import ReplicationParameters, ReplicationScaffolder

TYPE = "tranship.replication.ReplicationComponent"


def request(
    path: Path, append: bool = False, form: str = "yaml", **params
) -> dg.ScaffoldRequest[ReplicationParameters]:
    return dg.ScaffoldRequest(
        type_name=TYPE,
        target_path=path,
        scaffold_format=form,  # pyright: ignore[reportArgumentType]
        project_root=None,
        params=ReplicationParameters(**params),
        append=append,
    )


@pytest.mark.parametrize("tables", ["dbo.*", "sales.Orders", "[a-c]*.x"])
def test_the_file_is_one_that_the_component_takes(tmp_path: Path, tables: str):
    ReplicationScaffolder().scaffold(request(tmp_path, tables=tables, target="redshift"))

    document = yaml.safe_load((tmp_path / "defs.yaml").read_text())
    model = ReplicationComponent.get_model_cls().model_validate(document["attributes"])
    assert document["type"] == TYPE
    assert [entry.table for entry in model.tables] == [tables]  # pyright: ignore[reportAttributeAccessIssue]
    assert document["attributes"]["target"] == "redshift"


def test_a_second_replication_can_be_added_to_the_file(tmp_path: Path):
    ReplicationScaffolder().scaffold(request(tmp_path, tables="dbo.A"))
    ReplicationScaffolder().scaffold(request(tmp_path / "defs.yaml", append=True, tables="dbo.B"))

    documents = list(yaml.safe_load_all((tmp_path / "defs.yaml").read_text()))
    assert [one["attributes"]["tables"][0]["table"] for one in documents] == ["dbo.A", "dbo.B"]


def test_another_format_than_yaml_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="described by a YAML file"):
        ReplicationScaffolder().scaffold(request(tmp_path, form="python"))
    assert list(tmp_path.iterdir()) == []


def test_other_projects_find_the_component_by_its_entry_point():
    (point,) = entry_points(group="dagster_dg_cli.registry_modules", name="tranship")
    assert point.load().ReplicationComponent is ReplicationComponent

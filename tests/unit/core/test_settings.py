"""Each setting is declared once: the frozen settings, Dagster's fields, the variables and the docs are made of it."""

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
import pytest
import yaml

from tranship import PostgresResource, RedshiftIOManager, RedshiftResource, SqlServerResource
from tranship.errors import ConfigurationError
from tranship.postgres.settings import PostgresFields, PostgresSettings
from tranship.redshift.settings import RedshiftFields, RedshiftSettings
from tranship.settings import Setting, Settings, is_yes, settings_of
from tranship.sqlserver.settings import SqlServerFields, SqlServerSettings

CHECKOUT = Path(__file__).parents[3]
SYSTEMS = {
    "TRANSHIP_SQLSERVER_": SqlServerFields,
    "TRANSHIP_POSTGRES_": PostgresFields,
    "TRANSHIP_REDSHIFT_": RedshiftFields,
}
OF_CONTAINERS = re.compile(r"(IMAGE|MEMORY|MEMORY_MB|HOST_PORT)$")
"""What `.env` says of the containers of the stack itself, not of the systems in them."""

MADE = [
    (SqlServerResource, SqlServerSettings, {"host": "db", "database": "dw", "user": "u", "password": "p"}),
    (PostgresResource, PostgresSettings, {"host": "db", "database": "dw", "user": "u"}),
    *(
        (kind, RedshiftSettings, {
            "host": "db", "database": "dw", "user": "u", "password": "p", "bucket_name": "b", "s3_iam_role": "default",
        })
        for kind in (RedshiftResource, RedshiftIOManager)
    ),
]  # fmt: skip


def variables(prefix: str) -> set[str]:
    return {f"{prefix}{setting.variable}" for setting in settings_of(SYSTEMS[prefix]).values()}


def secrets(prefix: str) -> set[str]:
    return {
        f"{prefix}{setting.variable}"
        for setting in settings_of(SYSTEMS[prefix]).values()
        if setting.secret
    }


ALL = set[str]().union(*map(variables, SYSTEMS))
ALL_SECRETS = set[str]().union(*map(secrets, SYSTEMS))


def named_in(text: str) -> set[str]:
    names = set(re.findall(rf"\b(?:{'|'.join(SYSTEMS)})[A-Z_0-9]+\b", text))
    return {name for name in names if not OF_CONTAINERS.search(name)}


@pytest.mark.parametrize(("kind", "settings", "values"), MADE)
def test_the_fields_of_dagsters_classes_are_those_of_the_settings(
    kind: Any, settings: type[Settings], values: dict[str, Any]
) -> None:
    made = kind(**values)
    assert made.settings() == settings(**values)
    for name, setting in settings_of(settings).items():
        field = kind.model_fields[name]
        assert (field.description, field.repr) == (setting.description, not setting.secret)


@pytest.mark.parametrize(("kind", "settings", "values"), MADE)
def test_every_setting_of_a_resource_reaches_the_settings(
    kind: Any, settings: type[Settings], values: dict[str, Any]
) -> None:
    others = {"driver_keywords": {"Pooling": "no"}, "db_groups": ("a",), "varchar_lengths": {"a": 3},
              "encrypt": "strict", "application_intent": "ReadOnly", "target_session_attrs": "any",
              "sslmode": "require", "compression": "zstd", "write_lock": "table", "read_via": "unload",
              "s3_encryption": "aws:kms", "workgroup": None, "max_part_bytes": 2_000_000,
              "cluster_identifier": "c", "password": None if "bucket_name" in values else "other"}  # fmt: skip
    by_type = {"int": 7, "float": 7.5, "bool": True, "str": "other", "str | None": "other"}
    changed = {
        name: others.get(name, by_type.get(str(getattr(kind.model_fields[name].annotation, "__name__", "")), "other"))
        for name in settings_of(settings)
    }  # fmt: skip
    of_resource = kind(**changed).settings()
    assert {name: getattr(of_resource, name) for name in changed} == changed


def test_a_resource_takes_each_setting_from_the_environment_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_PORT", "5433")
    monkeypatch.setenv("A_PASSWORD", "hunter2")
    monkeypatch.setenv("A_MODE", "require")
    seen: list[PostgresSettings] = []

    @dg.asset
    def use(postgres: PostgresResource) -> None:
        seen.append(postgres.settings())

    postgres = PostgresResource(
        host="db", database="dw", user="etl", port=dg.EnvVar.int("A_PORT"),
        password=dg.EnvVar("A_PASSWORD"), sslmode=dg.EnvVar("A_MODE"),
    )  # fmt: skip
    assert postgres.password == dg.EnvVar("A_PASSWORD")
    assert dg.materialize([use], resources={"postgres": postgres}).success
    assert (seen[0].port, seen[0].password, seen[0].sslmode) == (5433, "hunter2", "require")


def test_copies_of_a_resource_do_not_share_their_dictionaries() -> None:
    one, other = (SqlServerResource(host="db", database="dw") for _ in range(2))
    assert one.driver_keywords == {}
    assert one.driver_keywords is not other.driver_keywords


@pytest.mark.parametrize("declaration", SYSTEMS.values())
def test_every_setting_is_described(declaration: type) -> None:
    assert all(one.description.endswith(".") for one in settings_of(declaration).values())


def test_settings_stay_immutable_and_are_copied_with_changes() -> None:
    settings = PostgresSettings(host="db", database="dw", user="etl", password="p")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.host = "other"  # pyright: ignore[reportAttributeAccessIssue]
    assert dataclasses.replace(settings, port=1) == PostgresSettings(
        host="db", database="dw", user="etl", password="p", port=1
    )
    assert len({settings, dataclasses.replace(settings)}) == 1


# ---- the variables of a deployment ----

REDSHIFT = {
    "X_HOST": "db", "X_DATABASE": "dw", "X_USER": "etl", "X_PASSWORD": "p", "X_IAM_ROLE": "default",
    "X_STAGING_URI": "s3://bucket/some/prefix",
}  # fmt: skip


def test_every_variable_reaches_its_setting() -> None:
    made = SqlServerSettings.from_environment(
        {"X_HOST": "db", "X_PORT": "1444", "X_DATABASE": "dw", "X_USER": "etl", "X_PASSWORD": "p",
         "X_TRUST_CERTIFICATE": "yes"}, "X_",
    )  # fmt: skip
    assert made == SqlServerSettings(
        host="db", port=1444, database="dw", user="etl", password="p", trust_server_certificate=True
    )
    redshift = RedshiftSettings.from_environment({**REDSHIFT, "X_SSLMODE": "require"}, "X_")
    assert redshift == RedshiftSettings(
        host="db", database="dw", user="etl", password="p", s3_iam_role="default", bucket_name="bucket",
        s3_prefix="some/prefix", sslmode="require",
    )  # fmt: skip


def test_a_staging_uri_without_a_prefix_has_the_usual_one() -> None:
    made = RedshiftSettings.from_environment({**REDSHIFT, "X_STAGING_URI": "s3://bucket"}, "X_")
    assert (made.bucket_name, made.s3_prefix) == ("bucket", "tranship")


def test_a_cluster_stands_for_a_password() -> None:
    made = RedshiftSettings.from_environment({**REDSHIFT, "X_CLUSTER": "c"}, "X_")
    assert (made.cluster_identifier, made.password) == ("c", None)
    without = {name: value for name, value in REDSHIFT.items() if name != "X_PASSWORD"}
    assert RedshiftSettings.from_environment({**without, "X_CLUSTER": "c"}, "X_") == made


def test_a_host_that_a_deployment_names_has_no_tls() -> None:
    environment = {"X_HOST": "db", "X_DATABASE": "d", "X_USER": "u", "X_PASSWORD": "p", "TRANSHIP_HOSTS_WITHOUT_TLS": "db"}  # fmt: skip
    assert PostgresSettings.from_environment(environment, "X_").sslmode == "disable"
    named = PostgresSettings.from_environment({**environment, "X_SSLMODE": "require"}, "X_")
    assert named.sslmode == "require"


def test_what_is_given_needs_no_variable_and_wins() -> None:
    environment = {"X_HOST": "db", "X_DATABASE": "d", "X_USER": "u", "X_PASSWORD": "p"}
    made = RedshiftSettings.from_environment(
        environment, "X_", bucket_name="none", s3_iam_role="none", user="me"
    )
    assert (made.bucket_name, made.user) == ("none", "me")


@pytest.mark.parametrize("value", ["", None])
def test_every_missing_variable_is_named(value: str | None) -> None:
    environment = {"X_DATABASE": "dw"} | ({} if value is None else {"X_HOST": value})
    with pytest.raises(ConfigurationError) as caught:
        PostgresSettings.from_environment(environment, "X_", instead="--target-url")
    assert str(caught.value) == (
        "X_HOST, X_USER, X_PASSWORD are not set. Set what is missing, or give --target-url."
    )
    with pytest.raises(
        ConfigurationError, match=r"^X_IAM_ROLE is not set\. Set what is missing\.$"
    ):
        RedshiftSettings.from_environment({**REDSHIFT, "X_IAM_ROLE": ""}, "X_")


@pytest.mark.parametrize("port", ["x", "0", "70000", "\u0661"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedshiftSettings.from_environment({**REDSHIFT, "X_PORT": port}, "X_")
    assert str(caught.value) == f"X_PORT is {port!r}. Give a TCP port: 1 to 65535."


# ---- what else names them ----


def test_the_example_of_env_has_the_variables_that_are_declared() -> None:
    rows = dict(re.findall(r"^#?([A-Z_0-9]+)=(.*)$", (CHECKOUT / ".env.example").read_text(), re.M))
    assert named_in("\n".join(rows)) == ALL - ALL_SECRETS
    for prefix, declaration in SYSTEMS.items():
        port = next(one for one in dataclasses.fields(declaration) if one.name == "port")
        assert rows[f"{prefix}PORT"] == str(port.default)


def test_the_secrets_are_those_that_are_declared() -> None:
    assert named_in((CHECKOUT / "secrets" / "README.md").read_text()) == ALL_SECRETS


def test_the_stack_gives_its_containers_and_runs_every_variable_that_is_declared() -> None:
    services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    assert named_in("\n".join(services["x-data-environment"])) == ALL - ALL_SECRETS
    launcher = (CHECKOUT / "dagster_home" / "dagster.yaml").read_text()
    assert named_in(launcher) == ALL - ALL_SECRETS


WORTH = {
    "TRANSHIP_SQLSERVER_ENCRYPT": "strict", "TRANSHIP_SQLSERVER_APPLICATION_INTENT": "ReadOnly",
    "TRANSHIP_SQLSERVER_DRIVER_KEYWORDS": "MultiSubnetFailover=yes",
    "TRANSHIP_POSTGRES_TARGET_SESSION_ATTRS": "primary", "TRANSHIP_POSTGRES_SSLMODE": "require",
    "TRANSHIP_REDSHIFT_STAGING_URI": "s3://b/p", "TRANSHIP_REDSHIFT_S3_ENCRYPTION": "aws:kms",
    "TRANSHIP_REDSHIFT_COMPRESSION": "zstd", "TRANSHIP_REDSHIFT_WRITE_LOCK": "table",
    "TRANSHIP_REDSHIFT_READ_VIA": "unload", "TRANSHIP_REDSHIFT_MAX_PART_BYTES": "2000000",
    "TRANSHIP_REDSHIFT_VARCHAR_LENGTHS": "a=3", "TRANSHIP_REDSHIFT_DB_GROUPS": "a,b", "TRANSHIP_REDSHIFT_CLUSTER": "c",
}  # fmt: skip
"""Of those that not any text will do for."""


@pytest.mark.parametrize("key", ["sqlserver", "postgres", "redshift", "warehouse"])
def test_every_setting_of_every_resource_of_the_code_location_has_a_variable(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "redshift" if key == "warehouse" else key
    prefix = f"TRANSHIP_{kind.upper()}_"
    declared = settings_of(SYSTEMS[prefix])
    # A workgroup stands for a cluster, never beside one.
    names = [name for name in declared if name not in {"workgroup", "password"}]
    for name in names:
        variable = f"{prefix}{declared[name].variable}"
        text = "yes" if declared[name].read is is_yes else "7"
        monkeypatch.setenv(variable, WORTH.get(variable, text))
    monkeypatch.setenv(f"{prefix}PASSWORD", "hunter2")
    resource = resources_of_the_code_location()[key].process_config_and_initialize()
    defaults = {one.name: one.default for one in dataclasses.fields(SYSTEMS[prefix])}
    made = resource.settings()
    unchanged = {name for name in names if getattr(made, name) == defaults[name]}
    assert unchanged == set()
    assert made.password == (None if kind == "redshift" else "hunter2")


def resources_of_the_code_location() -> dict[str, Any]:
    """The resources as a new process would make them of its environment."""
    place = CHECKOUT / "user_code/src/etl/defs/resources.py"
    spec = importlib.util.spec_from_file_location("resources_again", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.resources().resources or {})


@pytest.mark.parametrize(
    ("variable", "text", "remedy"),
    [
        ("TRANSHIP_SQLSERVER_QUERY_TIMEOUT_SECONDS", "soon", "Give a whole number."),
        ("TRANSHIP_POSTGRES_LOCK_WAIT_SECONDS", "-1", "Give a whole number."),
        ("TRANSHIP_REDSHIFT_KEEP_FILES", "true", "Give yes or no."),
        ("TRANSHIP_SQLSERVER_DRIVER_KEYWORDS", "MultiSubnetFailover", "Give key=value, with semicolons between."),
    ],
)  # fmt: skip
def test_a_variable_that_has_no_such_value_is_told_by_its_name(
    variable: str, text: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        resources_of_the_code_location()
    assert str(caught.value) == f"{variable} is {text!r}. {remedy}"


def test_a_setting_of_a_type_without_a_form_in_an_environment_is_found_out() -> None:
    @dataclasses.dataclass
    class Fields:
        odd: Annotated[complex, Setting("Odd.")] = 0

    with pytest.raises(TypeError, match="give its Setting a `read`"):
        settings_of(Fields)


def test_only_the_bundled_sql_server_is_trusted_without_being_asked_for() -> None:
    environment = {"X_DATABASE": "d", "X_USER": "u", "X_PASSWORD": "p", "TRANSHIP_HOSTS_WITHOUT_TLS": "sqlserver"}  # fmt: skip
    made = [
        SqlServerSettings.from_environment({**environment, **more}, "X_").trust_server_certificate
        for more in ({"X_HOST": "sqlserver"}, {"X_HOST": "db"}, {"X_HOST": "sqlserver", "X_TRUST_CERTIFICATE": "no"})
    ]  # fmt: skip
    assert made == [True, False, False]


# ---- who may know them ----


def test_settings_are_made_without_dagster_and_pydantic() -> None:
    program = """
import sys
from tranship.postgres.settings import PostgresSettings
from tranship.redshift.settings import RedshiftSettings
from tranship.sqlserver.settings import SqlServerSettings
PostgresSettings.from_environment({"X_HOST": "h", "X_USER": "u", "X_PASSWORD": "p", "X_DATABASE": "d"}, "X_")
print(sorted({"dagster", "pydantic", "sqlalchemy", "pandas", "boto3", "psycopg2"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr

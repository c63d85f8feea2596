"""Which secrets the stack works with: those that were given, and made ones for what is bundled."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tranship.runs.given_secrets import SYSTEMS, Arrangement, arrange, write_authorities
from tranship.runs.secrets import SecretsError, read_secrets

BUNDLED = {
    "DAGSTER_POSTGRES_HOST": "postgres",
    "TRANSHIP_SQLSERVER_HOST": "sqlserver",
    "TRANSHIP_POSTGRES_HOST": "warehouse",
    "TRANSHIP_REDSHIFT_HOST": "redshift",
    "AWS_ENDPOINT_URL": "http://localstack:4566",
}
OF_YOURS = {
    "DAGSTER_POSTGRES_HOST": "dagster.example.com",
    "TRANSHIP_SQLSERVER_HOST": "sql.example.com",
    "TRANSHIP_POSTGRES_HOST": "dw.example.com",
    "TRANSHIP_REDSHIFT_HOST": "rs.example.com",
    "AWS_ENDPOINT_URL": "",
    "TRANSHIP_NOT_BUNDLED": " ".join(system.service for system in SYSTEMS),
}


class Volumes:
    """The two directories, and made secrets that can be told apart."""

    def __init__(self, folder: Path):
        self.dagster, self.data = folder / "dagster", folder / "data"
        for place in (self.dagster, self.data):
            place.mkdir()
        self._made = 0

    def arrange(self, environment: dict[str, str], **given: str) -> Arrangement:
        return arrange(environment, given, self.dagster, self.data, make=self._make)

    def secrets(self) -> dict[str, str]:
        return {**read_secrets(self.dagster), **read_secrets(self.data)}

    def _make(self) -> str:
        self._made += 1
        return f"made-{self._made}"


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path)


def but(**changed: str) -> dict[str, str]:
    """All bundled, but for one system."""
    (variable,) = changed
    service = next(one.service for one in SYSTEMS if one.variable == variable)
    return {**BUNDLED, **changed, "TRANSHIP_NOT_BUNDLED": f" {service} "}


def test_without_any_all_are_made_once_and_each_is_another(volumes: Volumes):
    volumes.arrange(BUNDLED)
    made = volumes.secrets()
    assert set(made) == {name for one in SYSTEMS for name in one.secrets} | {"TRANSHIP_MASK_KEY"}
    assert len(set(made.values())) == len(made)
    assert volumes.arrange(BUNDLED).lines() == ["nothing changed"]
    assert volumes.secrets() == made


@pytest.mark.parametrize("name", ["TRANSHIP_POSTGRES_PASSWORD", "DAGSTER_POSTGRES_PASSWORD"])
def test_a_password_that_is_given_later_wins_and_taken_away_gives_way_again(
    volumes: Volumes, name: str
):
    volumes.arrange(BUNDLED)
    before = volumes.secrets()
    assert volumes.arrange(BUNDLED, **{name: "mine"}).taken == [name]
    assert volumes.secrets() == {**before, name: "mine"}
    assert volumes.arrange(BUNDLED, **{name: "newer"}).taken == [name]
    assert volumes.secrets() == {**before, name: "newer"}
    volumes.arrange(BUNDLED)
    assert volumes.secrets() == before


def test_the_companys_sql_password_never_becomes_the_bundled_servers(volumes: Volumes):
    company = but(TRANSHIP_SQLSERVER_HOST="sql.example.com")
    volumes.arrange(BUNDLED)
    own = volumes.secrets()["TRANSHIP_SQLSERVER_PASSWORD"]
    told = volumes.arrange(BUNDLED, TRANSHIP_SQLSERVER_PASSWORD="company")
    assert volumes.secrets()["TRANSHIP_SQLSERVER_PASSWORD"] == own
    assert "keeps its own" in told.lines()[-1]
    volumes.arrange(company, TRANSHIP_SQLSERVER_PASSWORD="company")
    assert volumes.secrets()["TRANSHIP_SQLSERVER_PASSWORD"] == "company"
    for given in ({"TRANSHIP_SQLSERVER_PASSWORD": "company"}, {}):
        volumes.arrange(BUNDLED, **given)
        assert volumes.secrets()["TRANSHIP_SQLSERVER_PASSWORD"] == own


def test_nor_in_volumes_of_before_there_were_marks(volumes: Volumes):
    (volumes.data / "TRANSHIP_SQLSERVER_PASSWORD").write_text("company")
    volumes.arrange(but(TRANSHIP_SQLSERVER_HOST="sql"), TRANSHIP_SQLSERVER_PASSWORD="company")
    volumes.arrange(BUNDLED)
    assert volumes.secrets()["TRANSHIP_SQLSERVER_PASSWORD"].startswith("made-")


def test_made_passwords_of_before_there_were_marks_stay(volumes: Volumes):
    (volumes.data / "TRANSHIP_POSTGRES_PASSWORD").write_text("old")
    (volumes.data / "TRANSHIP_MASK_KEY").write_text("key")
    volumes.arrange(BUNDLED)
    assert volumes.secrets()["TRANSHIP_POSTGRES_PASSWORD"] == "old"
    volumes.arrange(but(TRANSHIP_POSTGRES_HOST="dw"), TRANSHIP_POSTGRES_PASSWORD="company")
    volumes.arrange(BUNDLED)
    assert volumes.secrets()["TRANSHIP_POSTGRES_PASSWORD"] == "old"
    assert volumes.secrets()["TRANSHIP_MASK_KEY"] == "key"


def test_a_system_of_yours_gets_what_was_given_and_no_made_password(volumes: Volumes):
    volumes.arrange(BUNDLED)
    told = volumes.arrange(OF_YOURS, TRANSHIP_SQLSERVER_PASSWORD="company", AWS_SESSION_TOKEN="t")
    left = volumes.secrets()
    assert left.pop("TRANSHIP_MASK_KEY")
    # Without keys, boto3 asks the machine for its role.
    assert left == {"TRANSHIP_SQLSERVER_PASSWORD": "company", "AWS_SESSION_TOKEN": "t"}
    assert {"AWS_ACCESS_KEY_ID", "TRANSHIP_POSTGRES_PASSWORD"} <= set(told.removed)


def test_temporary_credentials_that_are_taken_away_are_gone(volumes: Volumes):
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    volumes.arrange(OF_YOURS, **keys)
    assert read_secrets(volumes.dagster) == keys
    volumes.arrange(OF_YOURS)
    assert read_secrets(volumes.dagster) == {}


def test_the_bundled_s3_keeps_keys_of_its_own(volumes: Volumes):
    volumes.arrange(BUNDLED, AWS_SECRET_ACCESS_KEY="company")
    assert volumes.secrets()["AWS_SECRET_ACCESS_KEY"].startswith("made-")


def test_a_password_may_be_empty_where_a_server_asks_for_none(volumes: Volumes):
    volumes.arrange(but(TRANSHIP_POSTGRES_HOST="dw"), TRANSHIP_POSTGRES_PASSWORD="")
    assert volumes.secrets()["TRANSHIP_POSTGRES_PASSWORD"] == ""


def test_further_secrets_reach_the_pipelines_and_go_with_their_files(volumes: Volumes):
    volumes.arrange(BUNDLED, CRM_TOKEN="t", AWS_SESSION_TOKEN="s")
    assert read_secrets(volumes.data)["CRM_TOKEN"] == "t"
    assert read_secrets(volumes.dagster)["AWS_SESSION_TOKEN"] == "s"
    volumes.arrange(BUNDLED)
    assert not {"CRM_TOKEN", "AWS_SESSION_TOKEN"} & volumes.secrets().keys()


def test_the_key_of_masked_columns_stays_when_its_file_is_taken_away(volumes: Volumes):
    volumes.arrange(BUNDLED, TRANSHIP_MASK_KEY="mine")
    volumes.arrange(BUNDLED)
    assert volumes.secrets()["TRANSHIP_MASK_KEY"] == "mine"


def test_it_ends_well_wherever_it_was_killed(tmp_path: Path):
    """Whatever part of the files of a change is there already, the next start makes the whole change."""
    company = but(TRANSHIP_SQLSERVER_HOST="sql.example.com")
    steps = [({}, BUNDLED), ({"TRANSHIP_SQLSERVER_PASSWORD": "company"}, company), ({}, BUNDLED)]
    for stop in range(1, 12):
        (tmp_path / str(stop)).mkdir()
        volumes = Volumes(tmp_path / str(stop))
        own = ""
        for given, environment in steps:
            _arrange_until(stop, volumes, environment, given)
            volumes.arrange(environment, **given)
            password = volumes.secrets()["TRANSHIP_SQLSERVER_PASSWORD"]
            if given:
                assert password == "company"
            else:
                own = own or password
                assert password == own


def _arrange_until(
    stop: int, volumes: Volumes, environment: dict[str, str], given: dict[str, str]
) -> None:
    """Arrange secrets in a process that ends before its n-th change of a file."""
    program = """
import json, os, pathlib, sys
from tranship.runs import given_secrets
stop, dagster, data, environment, given = json.loads(sys.argv[1])
left = [stop]
def ends(act):
    def wrapped(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os._exit(0)
        return act(*arguments, **options)
    return wrapped
given_secrets.write_secret = ends(given_secrets.write_secret)
pathlib.Path.unlink = ends(pathlib.Path.unlink)
pathlib.Path.touch = ends(pathlib.Path.touch)
given_secrets.arrange(environment, given, pathlib.Path(dagster), pathlib.Path(data))
"""
    told = [stop, str(volumes.dagster), str(volumes.data), environment, given]
    subprocess.run([sys.executable, "-c", program, json.dumps(told)], check=True)


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        (but(TRANSHIP_POSTGRES_HOST="warehouse"), "Leave it out for that one."),
        (but(AWS_ENDPOINT_URL="http://localstack:4566"), "Leave it out for that one."),
        ({**BUNDLED, "TRANSHIP_REDSHIFT_CLUSTER": "c"}, "Set it to the endpoint."),
        (but(AWS_ENDPOINT_URL=""), "or to none."),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_written(
    volumes: Volumes, environment: dict[str, str], remedy: str
):
    with pytest.raises(SecretsError) as refused:
        volumes.arrange(environment)
    assert str(refused.value).endswith(remedy)
    assert volumes.secrets() == {}


def test_no_secret_is_in_what_is_said(volumes: Volumes):
    told = volumes.arrange(
        BUNDLED, TRANSHIP_POSTGRES_PASSWORD="hunter2", CRM_TOKEN="hunter2", AWS_ACCESS_KEY_ID="hunter2"
    )  # fmt: skip
    text = "\n".join(told.lines())
    assert "hunter2" not in text
    assert "made-" not in text


def test_the_authorities_are_the_public_ones_and_yours(tmp_path: Path):
    given, dagster = tmp_path / "given", tmp_path / "dagster"
    given.mkdir()
    dagster.mkdir()
    write_authorities(given, dagster)
    public = (dagster / "authorities.pem").read_text()
    assert public.count("BEGIN CERTIFICATE") > 50
    one = public[public.index("-----BEGIN") : public.index("-----END CERTIFICATE-----") + 26]
    (given / "authorities.pem").write_text(one)
    write_authorities(given, dagster)
    assert (dagster / "authorities.pem").read_text() == f"{public}\n{one}"
    # No variable has such a name: it is no secret that a run would get.
    assert read_secrets(dagster) == {}


def test_a_file_of_authorities_without_any_is_told(tmp_path: Path):
    (tmp_path / "authorities.pem").write_text("hello")
    with pytest.raises(SecretsError, match="is no PEM file"):
        write_authorities(tmp_path, tmp_path)

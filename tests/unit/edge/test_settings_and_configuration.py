"""Settings of the edge: each is checked, for all of it ends in Caddy's configuration, which the real Caddy reads here."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge.caddyfile import caddyfile
from edge.settings import Settings, SettingsError

CADDY = Path(sys.executable).parent / "caddy"
GIVEN = {"EDGE_DOMAIN": "etl.example.com"}
PROXY = {
    "EDGE_TRUSTED_PROXIES": "10.1.2.3, fd00::/8",
    "EDGE_IDENTITY_HEADERS": "X-Remote-User X-Groups",
}


def adapted(text: str, tmp_path: Path) -> str:
    """The configuration as Caddy understands it."""
    file = tmp_path / "Caddyfile"
    file.write_text(text)
    command = [str(CADDY), "adapt", "--adapter", "caddyfile", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not formatted" not in done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"EDGE_DOMAIN": "10.1.2.3"},
        {"EDGE_DOMAIN": "2001:db8::1"},
        {"EDGE_DOMAIN": "localhost"},
        {"EDGE_TLS": "acme", "EDGE_EMAIL": "ops@example.com"},
        {"EDGE_TLS": "acme", "EDGE_ACME_DIRECTORY": "https://ca.internal/dir", "EDGE_ACME_AUTHORITY_FILE": "/run/secrets/edge/ca.pem"},
        {"EDGE_HSTS_SECONDS": "0", "EDGE_HTTPS_PORT": "8443"},
        PROXY,
    ],
)  # fmt: skip
def test_caddy_takes_the_configuration_of_all_that_can_be_set(
    settings: dict[str, str], tmp_path: Path
):
    assert adapted(caddyfile(Settings.from_environment({**GIVEN, **settings})), tmp_path)


def test_certificates_of_ones_own_are_served(tmp_path: Path):
    settings = Settings.from_environment({**GIVEN, "EDGE_TLS": "files"})
    text = caddyfile(settings, Path("/tmp/edge/c.pem"), Path("/tmp/edge/k.pem"))
    assert "/tmp/edge/c.pem" in adapted(text, tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TLS", "letsencrypt"),
        ("DOMAIN", ""), ("DOMAIN", "https://etl.example.com"), ("DOMAIN", "etl.example.com:443"), ("DOMAIN", "a b"),
        ("DOMAIN", "*.example.com"), ("DOMAIN", "a{\nrespond"), ("DOMAIN", "-a.example"), ("DOMAIN", "a" * 300), ("DOMAIN", "{env.HOME}"),
        ("EMAIL", "nobody"), ("EMAIL", "a@b.c }"),
        ("ACME_DIRECTORY", "http://ca.example"), ("ACME_DIRECTORY", "https://ca.example/\n}"), ("ACME_DIRECTORY", "https://[")
        , ("ACME_AUTHORITY_FILE", "ca.pem"), ("ACME_AUTHORITY_FILE", "/a b"),
        ("HTTPS_PORT", "0"), ("HTTPS_PORT", "65536"), ("HTTPS_PORT", "x"), ("HTTPS_PORT", "\u0661"),
        ("HSTS_SECONDS", "-1"),
        ("TRUSTED_PROXIES", "proxy.example.com"), ("TRUSTED_PROXIES", "0.0.0.0/0"), ("TRUSTED_PROXIES", "::/0"),
        ("IDENTITY_HEADERS", "X-User"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(variable: str, value: str):
    with pytest.raises(SettingsError, match=f"EDGE_{variable}"):
        Settings.from_environment({**GIVEN, f"EDGE_{variable}": value})


@pytest.mark.parametrize("domain", ["localhost", "etl", "10.1.2.3"])
def test_no_authority_is_asked_for_a_name_that_nobody_can_look_up(domain: str):
    with pytest.raises(SettingsError, match="EDGE_DOMAIN"):
        Settings.from_environment({"EDGE_TLS": "acme", "EDGE_DOMAIN": domain})


@pytest.mark.parametrize(
    "header",
    ["Cookie", "X-Tranship-User", "Host", "a b", "Authorization", "x-tranship-role"],
)
def test_no_other_header_is_taken_for_an_identity(header: str):
    with pytest.raises(SettingsError, match="EDGE_IDENTITY_HEADERS"):
        Settings.from_environment(
            {
                **GIVEN,
                **PROXY,
                "EDGE_IDENTITY_HEADERS": f"X-Fine {header}" if " " not in header else "1a",
            }
        )


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://etl.example.com"),
        ({"EDGE_DOMAIN": "ETL.Example.com."}, "https://etl.example.com"),
        ({"EDGE_HTTPS_PORT": "8443"}, "https://etl.example.com:8443"),
        ({"EDGE_DOMAIN": "2001:db8::1"}, "https://[2001:db8::1]"),
    ],
)
def test_the_address_is_what_browsers_use(settings: dict[str, str], url: str):
    assert Settings.from_environment({**GIVEN, **settings}).url == url


def test_a_proxys_headers_reach_the_login_and_nobody_behind_it(tmp_path: Path):
    text = caddyfile(Settings.from_environment({**GIVEN, **PROXY}))
    question, _, behind = text.partition("forward_auth")
    assert "request_header -X-Remote-User" not in question
    assert "request_header -X-Remote-User" in behind
    plain = caddyfile(Settings.from_environment(GIVEN)).partition("forward_auth")[0]
    assert "request_header -X-Remote-*" in plain

"""Arranges the secrets of the stack: those that its user gave, and made ones for the systems that are bundled.

    python -m tranship.runs.given_secrets

A given file wins over a made secret, now and later; a made one is kept beside it, for when the file is taken away.
Which systems are bundled, the variables of `docker-compose.yml` say. Standard library only, as `tranship.runs.secrets`.
"""

import os
import sys
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from tranship.runs.secrets import SecretsError, new_password, read_secrets, write_secret
from tranship.tls import system_authorities

GIVEN, DAGSTER, DATA = (Path("/run/secrets") / name for name in ("given", "dagster", "data"))
AUTHORITIES = "authorities.pem"
_MADE, _GIVEN = (
    ".made",
    ".given",
)  # no variable has a dot in its name: nobody but this reads such files
_NOT_BUNDLED = "TRANSHIP_NOT_BUNDLED"
_OF_DAGSTER = ("DAGSTER_", "AWS_")


@dataclass(frozen=True, slots=True)
class BundledSystem:
    """A system that the stack brings along, and that one of the user's may take the place of.

    Args:
        service: Its service, and its host in the stack.
        variable: The variable that names a host of the user's.
        secrets: What logs in to it.
        of_user: Whether the bundled one takes a secret that the user gave. Its own is no secret of a company's server.
    """

    service: str
    variable: str
    secrets: tuple[str, ...]
    of_user: bool = True


SYSTEMS = (
    BundledSystem("postgres", "DAGSTER_POSTGRES_HOST", ("DAGSTER_POSTGRES_PASSWORD",)),
    BundledSystem("localstack", "AWS_ENDPOINT_URL", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), of_user=False),
    BundledSystem("sqlserver", "TRANSHIP_SQLSERVER_HOST", ("TRANSHIP_SQLSERVER_PASSWORD",), of_user=False),
    BundledSystem("warehouse", "TRANSHIP_POSTGRES_HOST", ("TRANSHIP_POSTGRES_PASSWORD",)),
    BundledSystem("redshift", "TRANSHIP_REDSHIFT_HOST", ("TRANSHIP_REDSHIFT_PASSWORD",)),
)  # fmt: skip
_KEPT = ("TRANSHIP_MASK_KEY",)
"""Made where none was given, and never another one: a new key gives other digests."""


@dataclass(slots=True)
class Arrangement:
    """What was done with which secrets, by name."""

    taken: list[str] = field(default_factory=list[str])
    made: list[str] = field(default_factory=list[str])
    removed: list[str] = field(default_factory=list[str])
    remarks: list[str] = field(default_factory=list[str])

    def lines(self) -> list[str]:
        """The same in words; no secret is in them."""
        done = {"took": self.taken, "made": self.made, "removed": self.removed}
        lines = [f"{verb} {', '.join(names)}" for verb, names in done.items() if names]
        return [*(lines or ["nothing changed"]), *self.remarks]


def refuse_contradictions(environment: Mapping[str, str]) -> None:
    """See to it that what is set of the systems can be meant.

    Raises:
        SecretsError: It cannot; says what to set instead.
    """
    elsewhere = not_bundled(environment)
    for system in SYSTEMS:
        host = environment.get(system.variable, "")
        if system.service in elsewhere and host in {
            system.service,
            f"http://{system.service}:4566",
        }:
            raise SecretsError(
                f"{system.variable} is {host}, which is the bundled system itself. Leave it out for that one."
            )
    named = [
        name for name in ("CLUSTER", "WORKGROUP") if environment.get(f"TRANSHIP_REDSHIFT_{name}")
    ]
    if named and "redshift" not in elsewhere:
        raise SecretsError(
            f"TRANSHIP_REDSHIFT_{named[0]} is set, and TRANSHIP_REDSHIFT_HOST is not. Set it to the endpoint."
        )
    if "localstack" in elsewhere and "redshift" not in elsewhere:
        raise SecretsError(
            "AWS_ENDPOINT_URL is set, and the bundled Redshift reads the bundled S3 only. Set TRANSHIP_REDSHIFT_HOST to a "
            "Redshift of yours, or to none."
        )


def not_bundled(environment: Mapping[str, str]) -> Set[str]:
    """The bundled services that systems of the user's take the place of."""
    return frozenset(environment.get(_NOT_BUNDLED, "").split())


def arrange(
    environment: Mapping[str, str],
    given: Mapping[str, str],
    dagster: Path,
    data: Path,
    *,
    make: Callable[[], str] = new_password,
) -> Arrangement:
    """Put every secret where its readers look for it.

    Args:
        environment: The variables that say which systems are bundled.
        given: What the user gave, by name. Other names than those of the systems are taken as they are, for pipelines.
        dagster: The directory that the webserver, the daemon, the code server and runs read.
        data: The directory that the code server, runs and the bundled data systems read.
        make: Makes a secret.

    Raises:
        SecretsError: What is set of the systems contradicts itself.
    """
    refuse_contradictions(environment)
    elsewhere = not_bundled(environment)
    arrangement = Arrangement()
    places = {True: _Place(dagster, arrangement, make), False: _Place(data, arrangement, make)}
    further = dict(given)
    for system in SYSTEMS:
        bundled = system.service not in elsewhere
        for name in system.secrets:
            value, place = further.pop(name, None), places[name.startswith(_OF_DAGSTER)]
            if not bundled:
                place.take_or_remove(name, value)
            elif value is None or not system.of_user:
                place.make(name, never=value)
                if value is not None:
                    arrangement.remarks.append(
                        f"{name} is given, and {system.variable} is not set: the bundled {system.service} keeps its own."
                    )
            else:
                place.take(name, value)
    for name in _KEPT:
        places[False].take_or_keep(name, further.pop(name, None))
    for of_dagster, place in places.items():
        own = {
            name: value
            for name, value in further.items()
            if name.startswith(_OF_DAGSTER) is of_dagster
        }
        for name in place.given() - own.keys() - _names_of_systems():
            place.take_or_remove(name, None)
        for name, value in own.items():
            place.take(name, value)
    return arrangement


def _names_of_systems() -> Set[str]:
    return {*_KEPT, *(name for system in SYSTEMS for name in system.secrets)}


@dataclass(frozen=True, slots=True)
class _Place:
    """A directory of secrets, whose files say by a file beside them whether they were made or given."""

    directory: Path
    arrangement: Arrangement
    new: Callable[[], str]

    def given(self) -> Set[str]:
        """The names of those that were given."""
        return {file.name.removesuffix(_GIVEN) for file in self.directory.glob(f"*{_GIVEN}")}

    def take(self, name: str, value: str) -> None:
        """Put a given secret there; a made one is kept for later."""
        self._keep_made(name, value)
        # Which it is, first: whatever ends this half way, no given secret is taken for a made one later.
        self._beside(name, _GIVEN).touch()
        if self._is(name) != value:
            write_secret(self.directory / name, value)
            self.arrangement.taken.append(name)

    def take_or_remove(self, name: str, value: str | None) -> None:
        """The same, and without a given one there is none."""
        if value is not None:
            self.take(name, value)
            return
        self._keep_made(name, None)
        if self._is(name) is not None:
            (self.directory / name).unlink()
            self.arrangement.removed.append(name)
        self._beside(name, _GIVEN).unlink(missing_ok=True)

    def make(self, name: str, *, never: str | None) -> None:
        """Put the made secret there, the one of before if there was one; `never` is one that is somebody else's."""
        self._keep_made(name, never)
        made = self._is(f"{name}{_MADE}")
        if made is None:
            made = self.new()
            write_secret(self._beside(name, _MADE), made)
        if self._is(name) != made:
            write_secret(self.directory / name, made)
            self.arrangement.made.append(name)
        self._beside(name, _GIVEN).unlink(missing_ok=True)

    def take_or_keep(self, name: str, value: str | None) -> None:
        """Put a given secret there; without one, the one that is there stays, whoever it is from."""
        if value is not None:
            self.take(name, value)
        elif self._is(name) is None:
            self.make(name, never=None)

    def _keep_made(self, name: str, never: str | None) -> None:
        """Keep what is there, if it was made here: before there were these marks, whatever the user did not give."""
        present = self._is(name)
        if (
            present in (None, never)
            or self._beside(name, _GIVEN).exists()
            or self._beside(name, _MADE).exists()
        ):
            return
        write_secret(self._beside(name, _MADE), present or "")

    def _beside(self, name: str, mark: str) -> Path:
        return self.directory / f"{name}{mark}"

    def _is(self, name: str) -> str | None:
        file = self.directory / name
        return file.read_text(encoding="utf-8") if file.is_file() else None


def write_authorities(given: Path, dagster: Path) -> None:
    """Put the certificate authorities of this image there, and those that the user gave in `authorities.pem`.

    Raises:
        SecretsError: What the user gave has no certificate in it.
    """
    import ssl

    usual = system_authorities()
    texts = [Path(usual).read_text(encoding="utf-8")] if usual else []
    own = given / AUTHORITIES
    if own.is_file():
        text = own.read_text(encoding="utf-8", errors="replace")
        try:
            ssl.create_default_context(cadata=text)
        except (ssl.SSLError, ValueError):
            raise SecretsError(
                f"secrets/{AUTHORITIES} is no PEM file: it begins with -----BEGIN CERTIFICATE----- in a line of its own."
            ) from None
        texts.append(text)
    write_secret(dagster / AUTHORITIES, "\n".join(texts))


def main() -> int:
    """Arrange the secrets of the volumes that are mounted; 2 where what is set contradicts itself."""
    try:
        arrangement = arrange(os.environ, read_secrets(GIVEN), DAGSTER, DATA)
        write_authorities(GIVEN, DAGSTER)
    except SecretsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join([*arrangement.lines(), ""]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Who may log in: a user's static password, or a temporary password of the control plane.

The local control plane (LocalStack, moto) records the temporary passwords it hands out nowhere. So
a password that is not the static one is accepted only together with the user-name prefix that
GetClusterCredentials returns: `IAM:`, `IAMA:` (create the user) or `IAMR:` (a role's user).
"""

from dataclasses import dataclass

from standins.redshift.catalogue import Catalogue
from standins.redshift.errors import RedshiftError
from standins.redshift.scram import password_matches

_PREFIXES = ("IAMA:", "IAMR:", "IAM:")
_CREATING = {"IAMA:", "IAMR:"}


@dataclass(frozen=True, slots=True)
class Login:
    """A user name as the client sent it: the temporary-credentials prefix and the user."""

    prefix: str
    user: str

    @classmethod
    def parse(cls, name: str) -> "Login":
        """Split the prefix off."""
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                return cls(prefix, name.removeprefix(prefix).lower())
        return cls("", name.lower())


def authenticate(catalogue: Catalogue, login: Login, password: str) -> None:
    """Check a password; creates the user of an `IAMA:` or `IAMR:` login.

    Raises:
        RedshiftError: SQLSTATE 28000, the user or the password is wrong.
    """
    stored = catalogue.password_hash(login.user)
    if login.prefix:
        if stored is None and login.prefix in _CREATING:
            catalogue.ensure_user(login.user)
            stored = ""
        if stored is not None and password:
            return
    elif stored and password_matches(login.user, password, stored):
        return
    raise RedshiftError(f'password authentication failed for user "{login.user}"', "28000")

"""Roles, and the rules by which people of an identity provider or of a proxy get theirs."""

from collections.abc import Iterable
from dataclasses import dataclass

OPERATOR = "operator"
VIEWER = "viewer"
ROLES = frozenset({OPERATOR, VIEWER})
_KINDS = ("group", "email", "domain", "user")


class RuleError(ValueError):
    """A rule that cannot be read; the text says how one is written."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as an identity provider or a proxy tells of them.

    Args:
        name: What the audit calls them.
        user: Their identifier there.
        emails: Addresses that are known to be theirs.
        domains: Domains that are known to be theirs.
        groups: What they belong to.
    """

    name: str
    user: str
    emails: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is an operator and who a viewer; everybody else is nobody.

    Example:
        >>> rules = Rules.parse(operators="group:etl-admins", viewers="domain:example.com, email:guest@example.org")
        >>> rules.role_of(Identity("a", "1", groups=frozenset({"etl-admins"})))
        'operator'
    """

    operators: frozenset[tuple[str, str]]
    viewers: frozenset[tuple[str, str]]

    @classmethod
    def parse(cls, operators: str, viewers: str) -> "Rules":
        """Rules as settings have them: `kind:value` with commas.

        Raises:
            RuleError: One is of another form.
        """
        return cls(frozenset(_rules(operators)), frozenset(_rules(viewers)))

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self.operators or self.viewers)

    def role_of(self, identity: Identity) -> str | None:
        """The most that any rule gives; `None` where none fits."""
        facts = {("user", identity.user)}
        facts |= {("group", group) for group in identity.groups}
        facts |= {("email", email.lower()) for email in identity.emails}
        facts |= {("domain", domain.lower()) for domain in identity.domains}
        if facts & self.operators:
            return OPERATOR
        return VIEWER if facts & self.viewers else None


def _rules(text: str) -> Iterable[tuple[str, str]]:
    for part in filter(None, map(str.strip, text.split(","))):
        kind, _, value = part.partition(":")
        if kind not in _KINDS or not value:
            raise RuleError(
                f"{part!r} is no rule: write {', '.join(f'{kind}:...' for kind in _KINDS)}, with commas between."
            )
        yield kind, value.lower() if kind in ("email", "domain") else value

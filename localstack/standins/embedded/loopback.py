"""Servers of this machine are reached without a proxy, whatever the environment says.

No proxy elsewhere reaches what listens on 127.0.0.1, and a company's `http_proxy` rarely comes with a `no_proxy`.
"""

from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that except this machine from the proxies of an environment, in both spellings that programs read.

    Example:
        >>> without_proxy({"NO_PROXY": "intranet"})["no_proxy"]
        'intranet,127.0.0.1,localhost,::1'
    """
    # One spelling is set only, as a rule; the lower one is what most programs look at first.
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    named = [name.strip() for name in given.split(",") if name.strip()]
    if "*" in named:
        return {"no_proxy": "*", "NO_PROXY": "*"}
    exempt = ",".join([*named, *(name for name in LOOPBACK if name not in named)])
    return {"no_proxy": exempt, "NO_PROXY": exempt}

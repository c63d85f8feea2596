"""A folder that nobody else reads or writes, for files that must not be read or planted by others."""

import os
import stat
from pathlib import Path

from tranship.errors import ConfigurationError

_ONLY_MINE = 0o700
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_own_folder(path: Path, what: str) -> None:
    """Make a folder that only this user may enter, or see to it that one that is there is so.

    Args:
        path: The folder.
        what: What it is for, for the message: "the spool".

    Raises:
        ConfigurationError: Somebody else owns it, or may write into it, or it is no folder.

    Example:
        >>> make_own_folder(Path("/var/lib/tranship/spool"), "the spool")  # doctest: +SKIP
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=_ONLY_MINE)
    except FileExistsError:
        _check(path, what)
    except OSError as error:
        raise ConfigurationError(
            f"{path}, the folder of {what}, cannot be made: {error.strerror}.",
            "Name one that this user may make.",
        ) from error


def _check(path: Path, what: str) -> None:
    # Not followed: whoever may write into the folder above could have put a link there.
    found = path.lstat()
    remedy = f"Name a folder of your own for {what}."
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{path} is a link or a file, not the folder of {what}.", remedy)
    if os.name == "nt":
        return  # No owner and no mode there: a folder of the user's profile is closed to others by its access list.
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path}, the folder of {what}, belongs to user {found.st_uid}, and this process runs as {os.geteuid()}: "
            "what is read there could be planted.",
            remedy,
        )
    if found.st_mode & _OTHERS_WRITE:
        raise ConfigurationError(
            f"Others may write into {path}, the folder of {what} (mode {stat.S_IMODE(found.st_mode):04o}): what is read "
            "there could be planted.",
            f"Empty it and run chmod 700 on it, or name another folder for {what}.",
        )
    if stat.S_IMODE(found.st_mode) != _ONLY_MINE:
        path.chmod(_ONLY_MINE)

"""Runs one program and never lets it outlive the process that asked for it; started by `process.GuardedProcess`.

The parent writes one line of JSON to standard input and keeps that pipe open. When the pipe closes, because the
parent stopped us or died in any way (SIGKILL included), the program is told to stop, and killed if it does not.
If this guard itself is killed, Linux signals the program for us (PR_SET_PDEATHSIG). macOS has no such signal:
there only the death of the guard alone, not that of the parent, leaves the program running.

Standard library only, and started with `python -I -S`, so that it costs about 30 ms and 10 MB.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time

PR_SET_KEEPCAPS = 8
PR_SET_PDEATHSIG = 1
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
EXIT_CANNOT_START = 127

STOP_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Run the program of the specification; returns its exit code, or 128 + signal as shells do."""
    specification = json.loads(_read_line())
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGCHLD, *STOP_REQUESTS):
        signal.signal(number, lambda *_: None)  # the wake-up pipe carries the signal

    program = _start(specification)
    os.write(1, f"{program}\n".encode())
    os.close(1)
    while True:
        ready, _, _ = select.select([0, wake_read], [], [], 1.0)
        signals = os.read(wake_read, 64) if wake_read in ready else b""
        exit_code = _exit_code(program)
        if exit_code is not None:
            return exit_code
        parent_gone = 0 in ready and not os.read(0, 1)
        # A process forked off the parent may hold the pipe open after the parent's death.
        parent_gone = parent_gone or os.getppid() != specification["parent"]
        if parent_gone or any(number in signals for number in STOP_REQUESTS):
            return _stop(program, specification["stop_signal"], specification["stop_seconds"])


def _read_line() -> bytes:
    """Read one line byte by byte: nothing behind it may be swallowed by a buffer."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


def _exit_code(program: int) -> int | None:
    finished, status = os.waitpid(program, os.WNOHANG)
    if not finished:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _stop(program: int, stop_signal: int, stop_seconds: float) -> int:
    os.kill(program, stop_signal)
    deadline = time.monotonic() + stop_seconds
    while time.monotonic() < deadline:
        exit_code = _exit_code(program)
        if exit_code is not None:
            return exit_code
        time.sleep(0.01)
    os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _start(specification: dict) -> int:
    guard = os.getpid()
    # Held back until the child has given up our handlers: a request to stop in between would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_REQUESTS)
    program = os.fork()
    if program:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_REQUESTS)
        return program
    try:
        _prepare(specification, guard)
        os.execv(specification["command"][0], specification["command"])
    except OSError as error:
        sys.stderr.write(f"cannot start {specification['command'][0]}: {error}\n")
        sys.stderr.flush()
    os._exit(EXIT_CANNOT_START)


def _prepare(specification: dict, guard: int) -> None:
    """Make the forked process ready for exec: streams, signals, account, the tie to the guard."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, *STOP_REQUESTS):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_REQUESTS)
    os.dup2(_standard_input(specification["input"]), 0)
    os.dup2(2, 1)  # our own standard error is the log
    os.closerange(3, 256)
    if specification["account"]:
        _become(specification["account"])
    if sys.platform == "linux":
        # After the change of account, which clears it.
        _check(_libc().prctl(PR_SET_PDEATHSIG, specification["death_signal"], 0, 0, 0), "prctl")
        if os.getppid() != guard:
            os._exit(EXIT_CANNOT_START)


def _standard_input(text: str) -> int:
    if not text:
        return os.open(os.devnull, os.O_RDONLY)
    read_end, write_end = os.pipe()
    os.write(write_end, text.encode())  # a few hundred bytes: the pipe holds them
    os.close(write_end)
    return read_end


def _become(account: dict) -> None:
    """Give up root for another account, where needed keeping its right to pass any directory.

    The right is needed where the checkout or a temporary directory is closed to other accounts, as /root is.
    """
    keep_access = account["keep_access"]
    libc = _libc()
    if keep_access:
        _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl")
    os.setgroups([])
    os.setgid(account["gid"])
    os.setuid(account["uid"])
    if not keep_access:
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their upper halves
    _check(libc.capget(header, held), "capget")
    wanted = CAP_DAC_READ_SEARCH if held[1] & 1 << CAP_DAC_READ_SEARCH else CAP_DAC_OVERRIDE
    _check(libc.capset(header, (ctypes.c_uint32 * 6)(*[1 << wanted] * 3, 0, 0, 0)), "capset")
    _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, wanted, 0, 0), "prctl")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")


if __name__ == "__main__":
    sys.exit(main())

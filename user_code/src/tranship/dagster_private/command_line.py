"""Dagster's command line, in this process.

Private because it is reached as a program only, and a program costs a run container another start of Python. Whoever calls this
imports it late. No issue asks for it.
"""

from dagster._cli import main

__all__ = ["main"]

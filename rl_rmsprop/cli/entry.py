"""Where the command line begins: finds the verb, calls it, turns errors into exit codes (exit_codes.py; 143 is terminated).

Everything heavier than the parser is imported by the verb that needs it, so that --help answers at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from rl_rmsprop import grammar
from rl_rmsprop.cli.doctor import Doctor
from rl_rmsprop.cli.exit_codes import BAD_INPUT, INTERRUPTED, IO_FAILED, READER_GONE
from rl_rmsprop.cli.parsing import read_options
from rl_rmsprop.companions import WrongPackage

LONGEST_MESSAGE = 1000
"""Characters."""

ALONE: dict[str, type[Any]] = {"doctor": Doctor}
"""Verbs that answer even where the packages `agents` and `envs`, on which the others stand, are not those of rl-rmsprop."""

OVERVIEW = """rl-rmsprop: an RMSProp whose decay rate β is a number, a schedule, or set by a detector of shifts.

usage: rl-rmsprop VERB [OPTIONS]        (rl-rmsprop VERB --help explains a verb's options)

{verbs}

examples:
  rl-rmsprop compare --env CartPole-v1 --betas 0.9 0.99 0.999 cusum:arl=50000,max=0.99 --seeds 0-9 --steps 200000
  rl-rmsprop train --env LunarLander-v3 --beta 0.999 --seeds 0-4 --steps 1000000
  rl-rmsprop tensorboard runs/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    prepare_streams()
    try:
        return answer(list(sys.argv[1:] if arguments is None else arguments))
    except (ValueError, WrongPackage) as error:
        return failed(BAD_INPUT, str(error))
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        discard_output()
        return READER_GONE
    except OSError as error:
        discard_output()
        return failed(IO_FAILED, f"{error.strerror or error}: {error.filename or 'no file was named'}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def answer(args: list[str]) -> int:
    """Do what the arguments say; returns the exit code. All output is out, or has failed, when it returns."""
    try:
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        if not args or args[0] in ("-h", "--help"):
            print(overview())
            return 0
        if args[0] == "--version":
            from rl_rmsprop.version import __version__

            print(f"rl-rmsprop {__version__}")
            return 0
        return int(parse(args)())
    finally:
        sys.stdout.flush()


def failed(code: int, message: str) -> int:
    """Say why in one line; returns the exit code."""
    print(f"error: {in_one_line(message)}", file=sys.stderr)
    return code


def prepare_streams() -> None:
    """Output that is closed goes nowhere; what a terminal cannot show, such as β under LANG=C, is written as an escape."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Output that cannot be written goes nowhere from now on: Python would try once more at exit, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nowhere, contextlib.suppress(OSError):
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def overview() -> str:
    """All verbs, a line each."""
    from rl_rmsprop.cli.verbs import VERBS

    return OVERVIEW.format(verbs="\n".join(f"  {name:12} {first_line(verb)}" for name, verb in VERBS.items()))


def parse(args: list[str]) -> Any:
    """The verb with its options; ValueError in one line for what is wrong with them, WrongPackage if verbs cannot be imported."""
    name, rest = args[0], args[1:]
    if name in ALONE:
        return read_options(name, ALONE, rest)
    from rl_rmsprop.cli.verbs import VERBS

    if name not in VERBS:
        known = "the verb comes first" if name.startswith("-") else f"verb must be one of {', '.join(VERBS)}"
        raise ValueError(f"{known}, got {name!r}{grammar.suggestion(name, VERBS)}")
    return read_options(name, VERBS, rest)


def in_one_line(message: str) -> str:
    r"""A message fit for a terminal: one line, no control characters, what is very long cut in its middle.

    >>> in_one_line("beta must be\n in [0, 1), got '\x1b[31m'"), len(in_one_line("9" * 5000)) <= LONGEST_MESSAGE
    ("beta must be in [0, 1), got '\\x1b[31m'", True)
    """
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    half = LONGEST_MESSAGE // 2 - 1
    return line if len(line) <= LONGEST_MESSAGE else f"{line[:half]}…{line[-half:]}"


def first_line(verb: type[Any]) -> str:
    """The first sentence of a verb's docstring."""
    return (verb.__doc__ or "").split("\n")[0]

"""Where the command line begins: finds the verb, calls it, turns errors into exit codes.

Exit codes: 0 done; 2 bad input, in one line, with nothing created; 3 some runs failed; 74 input or output failed; 75 a study was
stopped by a signal, and `resume` goes on with it; 130 interrupted, 143 terminated. Everything heavier than the parser is
imported by the verb that needs it, so that --help answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rl_rmsprop import grammar
from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.envs import Envs
from rl_rmsprop.cli.evaluate import Evaluate
from rl_rmsprop.cli.parsing import read_options
from rl_rmsprop.cli.replay import Replay
from rl_rmsprop.cli.report import Report
from rl_rmsprop.cli.resume import Resume
from rl_rmsprop.cli.rules import Rules
from rl_rmsprop.cli.running import IO_FAILED
from rl_rmsprop.cli.tensorboard import Tensorboard
from rl_rmsprop.cli.train import Train
from rl_rmsprop.cli.walkthrough import Walkthrough

BAD_INPUT, INTERRUPTED = 2, 130

VERBS: dict[str, type[Any]] = {
    "train": Train,
    "compare": Compare,
    "resume": Resume,
    "report": Report,
    "evaluate": Evaluate,
    "tensorboard": Tensorboard,
    "walkthrough": Walkthrough,
    "rules": Rules,
    "envs": Envs,
    "replay": Replay,
}

OVERVIEW = """rl-rmsprop: an RMSProp whose forgetting rate β is a number, a schedule, or set by a detector of shifts.

usage: rl-rmsprop VERB [OPTIONS]        (rl-rmsprop VERB --help explains a verb's options)

{verbs}

examples:
  rl-rmsprop compare --env CartPole-v1 --betas 0.9 0.99 0.999 cusum:arl=50000,max=0.99 --seeds 0-9 --steps 200000
  rl-rmsprop train --env LunarLander-v3 --beta 0.999 --seeds 0-4 --steps 1000000
  rl-rmsprop tensorboard runs/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not args or args[0] in ("-h", "--help"):
            print(OVERVIEW.format(verbs="\n".join(f"  {name:12} {first_line(verb)}" for name, verb in VERBS.items())))
            return 0
        if args[0] == "--version":
            from rl_rmsprop import __version__

            print(f"rl-rmsprop {__version__}")
            return 0
        return int(parse(args)())
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; Python would complain once more at exit
        return 0
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return IO_FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def parse(args: list[str]) -> Any:
    """The verb with its options; ValueError in one line for whatever is wrong with them."""
    name, rest = args[0], args[1:]
    if name not in VERBS:
        raise ValueError(f"verb must be one of {', '.join(VERBS)}, got {name!r}{grammar.suggestion(name, VERBS)}")
    return read_options(name, VERBS[name], rest)


def first_line(verb: type[Any]) -> str:
    """The first sentence of a verb's docstring."""
    return (verb.__doc__ or "").split("\n")[0]

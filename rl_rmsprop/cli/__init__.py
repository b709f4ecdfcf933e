"""The command line `rl-rmsprop VERB`: a file a verb.

entry     finds the verb, calls it, turns errors into exit codes
parsing   words → options                     options    those that several verbs share
running   options → a study and its report    output     what is printed
"""

from rl_rmsprop.cli.entry import VERBS, main, parse

__all__ = ["VERBS", "main", "parse"]

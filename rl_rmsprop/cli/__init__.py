"""The command line `rl-rmsprop VERB`: a file a verb.

entry     finds the verb, calls it, turns errors into exit codes; verbs: all of them
fields    a verb's dataclass → its options    options    those that several verbs share
parsing   words → a verb                      help       a verb → what --help prints
running   a study → its runs and its report   output     what is printed of it
study_file   TOML ↔ options                   views/     tables and pictures of single verbs
"""

from rl_rmsprop.cli.entry import main, parse

__all__ = ["main", "parse"]

"""The completion script for fish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rl_rmsprop.cli.shells.words import Flag, Values, VerbWords

HEAD = r"""# fish completion of rl-rmsprop, made by `rl-rmsprop completion fish`
function __rl_rmsprop_behind --description 'VERB FLAG: whether a further value of a flag with several is being written'
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = $argv[1]; or return 1
    set -l flags (string match -- '--*' $words[3..-1])
    test (count $flags) -ge 1; and test (string replace -r '=.*' '' -- $flags[-1]) = $argv[2]
end
function __rl_rmsprop_verb --description 'VERB: whether it is the one on the line'
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = $argv[1]
end
function __rl_rmsprop_start --description 'whether the verb is being written'
    test (count (commandline -opc)) -eq 1
end
complete -c rl-rmsprop -f
complete -c rl-rmsprop -n __rl_rmsprop_start -a '--help help --version'
"""
FOLDERS = "(__fish_complete_directories (commandline -ct))"
FILES = "(__fish_complete_path (commandline -ct))"


def script(verbs: Sequence[VerbWords]) -> str:
    """The script."""
    return HEAD + "".join(f"{line}\n" for verb in verbs for line in lines(verb))


def lines(verb: VerbWords) -> Iterator[str]:
    """The commands for one verb."""
    start = "complete -c rl-rmsprop -n"
    yield f"{start} __rl_rmsprop_start -a {verb.name} -d {quoted(verb.doc)}"
    here = f"{start} '__rl_rmsprop_verb {verb.name}'"
    if verb.positional != Values():
        yield f"{here} -a {quoted(suggestions(verb.positional))}"
    for flag in verb.flags:
        yield f"{here} -l {flag.name[2:]}{argument(flag)} -d {quoted(flag.doc)}"
        if flag.takes is None and flag.values != Values():
            yield f"{start} '__rl_rmsprop_behind {verb.name} {flag.name}' -a {quoted(suggestions(flag.values))}"


def argument(flag: Flag) -> str:
    """What a flag needs behind it: nothing, a value, or a value of those that are suggested."""
    if flag.takes == 0:
        return ""
    return " -x" + (f" -a {quoted(suggestions(flag.values))}" if flag.values != Values() else "")


def suggestions(values: Values) -> str:
    """What is suggested, as the argument of -a."""
    paths = [FILES] if values.files else [FOLDERS] if values.folders else []
    return " ".join([*values.words, *paths])


def quoted(text: str) -> str:
    r"""A text in single quotes.

    >>> quoted("Gymnasium's")
    "'Gymnasium\\'s'"
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

"""The completion script for zsh."""

from __future__ import annotations

from collections.abc import Sequence

from rl_rmsprop.cli.shells.cases import cases
from rl_rmsprop.cli.shells.words import VerbWords

SCRIPT = r"""#compdef rl-rmsprop
# zsh completion of rl-rmsprop, made by `rl-rmsprop completion zsh`
_rl_rmsprop() {
    local cur=${words[CURRENT]} verb=${words[2]} flag= word
    local -i given=0 i
    local -a choices
    if ((CURRENT == 2)); then
        choices=(
@VERBS@
        )
        _describe verb choices
        compadd -- help --help --version
        return
    fi
    for ((i = 3; i < CURRENT; i++)); do
        word=${words[i]}
        case $word in
            --*=*) flag=${word%%=*} given=1 ;;
            --*) flag=$word given=0 ;;
            *) ((given += 1)) ;;
        esac
    done
    if [[ $cur == --*=* ]]; then
        flag=${cur%%=*} given=0 cur=${cur#*=}
        compset -P '*='
    fi
    local takes= kind= values=
    _rl_rmsprop_values "$verb $flag"
    if [[ -n $takes ]] && ((given >= takes)); then
        flag=
        _rl_rmsprop_values "$verb "
    fi
    if [[ $cur == -* || -z $flag$values$kind ]]; then
        case $verb in
@FLAGS@
        esac
        _describe option choices
        return
    fi
    [[ -n $values ]] && compadd -- ${=values}
    case $kind in
        files) _files ;;
        folders) _files -/ ;;
    esac
}
_rl_rmsprop_values() {  # VERB FLAG: sets takes (how many values; empty for any number), kind and values
    takes= kind= values=
    case $1 in
@VALUES@
    esac
}
if [[ ${funcstack[1]} == _rl_rmsprop ]]; then
    _rl_rmsprop "$@"
else
    compdef _rl_rmsprop rl-rmsprop
fi
"""


def script(verbs: Sequence[VerbWords]) -> str:
    """The script."""
    described = [f"            {entry(verb.name, verb.doc)}" for verb in verbs]
    flags = []
    for verb in verbs:
        rows = "\n".join(f"                {entry(flag.name, flag.doc)}" for flag in verb.flags)
        flags.append(f"            {verb.name}) choices=(\n{rows}\n            ) ;;")
    text = SCRIPT.replace("@VERBS@", "\n".join(described))
    return text.replace("@FLAGS@", "\n".join(flags)).replace("@VALUES@", cases(verbs))


def entry(name: str, doc: str) -> str:
    """A name with its explanation, as `_describe` reads them."""
    explained = doc.replace("\\", "\\\\").replace(":", "\\:").replace("'", "'\\''")
    return f"'{name}:{explained}'"

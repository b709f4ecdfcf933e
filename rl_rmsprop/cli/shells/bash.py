"""The completion script for bash.

Bash breaks words at `=` and `:`, so that `--env=Cart` is three of them, and `cusum:arl=9` five.
"""

from __future__ import annotations

from collections.abc import Sequence

from rl_rmsprop.cli.shells.cases import cases
from rl_rmsprop.cli.shells.words import VerbWords

SCRIPT = r"""# bash completion of rl-rmsprop, made by `rl-rmsprop completion bash`
_rl_rmsprop() {
    local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} flag= given=0 word i
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W '@VERBS@ help --help --version' -- "$cur"))
        return
    fi
    [[ $cur == '=' ]] && cur=
    for ((i = 2; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --*) flag=$word given=0 ;;
            '=') ;;
            *) ((given += 1)) ;;
        esac
    done
    case "${COMP_WORDS[COMP_CWORD - 1]}$cur" in
        :* | *:) return ;;  # the keys of a rule
        '='*) [[ ${COMP_WORDS[COMP_CWORD - 2]} == --* ]] || return ;;
    esac
    local takes= kind= values= flags=
    _rl_rmsprop_values "$verb $flag"
    if [[ -n $takes ]] && ((given >= takes)); then
        flag=
        _rl_rmsprop_values "$verb "
    fi
    if [[ $cur == -* || -z $flag$values$kind ]]; then
        case $verb in
@FLAGS@
        esac
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
        return
    fi
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
    local IFS=$'\n'
    case $kind in
        files) compopt -o filenames 2> /dev/null; COMPREPLY+=($(compgen -f -- "$cur")) ;;
        folders) compopt -o filenames 2> /dev/null; COMPREPLY+=($(compgen -d -- "$cur")) ;;
    esac
}
_rl_rmsprop_values() {  # VERB FLAG: sets takes (how many values; empty for any number), kind and values
    takes= kind= values=
    case $1 in
@VALUES@
    esac
}
complete -F _rl_rmsprop rl-rmsprop
"""


def script(verbs: Sequence[VerbWords]) -> str:
    """The script."""
    flags = [f"            {verb.name}) flags='{' '.join(flag.name for flag in verb.flags)}' ;;" for verb in verbs]
    text = SCRIPT.replace("@VERBS@", " ".join(verb.name for verb in verbs))
    return text.replace("@FLAGS@", "\n".join(flags)).replace("@VALUES@", cases(verbs))

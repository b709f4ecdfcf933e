"""`rl-rmsprop completion`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rl_rmsprop.cli.fields import option


@dataclass(frozen=True)
class Completion:
    """Print a script by which a shell completes verbs, options and their values when the tab key is pressed.

    Where half a second at the start of each shell does not matter, bash and zsh can also read it anew each time: put
    eval "$(rl-rmsprop completion bash)" at the end of ~/.bashrc, or the same with zsh at the end of ~/.zshrc.
    """

    EXAMPLES: ClassVar = (
        ("rl-rmsprop completion bash > ~/.rl-rmsprop.bash", "bash reads it if ~/.bashrc has the line: . ~/.rl-rmsprop.bash"),
        ("rl-rmsprop completion zsh > ~/.zfunc/_rl-rmsprop", "zsh, with fpath+=~/.zfunc before compinit in ~/.zshrc"),
        ("rl-rmsprop completion fish > ~/.config/fish/completions/rl-rmsprop.fish", "fish"),
    )

    VERBS: ClassVar[Mapping[str, type[Any]]] = {}
    """All verbs; the table in verbs.py, of which this is one, gives itself."""

    shell: Literal["bash", "zsh", "fish"] = option(metavar="SHELL", positional=True)
    """The shell: bash, zsh or fish."""

    def __call__(self) -> int:
        from rl_rmsprop.cli.shells import bash, fish, zsh
        from rl_rmsprop.cli.shells.words import verb_words

        script = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}[self.shell]
        print(script(verb_words(self.VERBS)), end="")
        return 0

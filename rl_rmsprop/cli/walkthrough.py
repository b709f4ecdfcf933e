"""`rl-rmsprop walkthrough`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Walkthrough:
    """Work through the RMSProp post: its traces, its table of β and its five questions, with the numbers computed here."""

    EXAMPLES: ClassVar = (("rl-rmsprop walkthrough | less", "several pages of text"),)

    def __call__(self) -> int:
        from rl_rmsprop.walkthrough.page import walkthrough

        print(walkthrough())
        return 0

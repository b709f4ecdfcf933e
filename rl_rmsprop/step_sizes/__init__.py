"""Step-size rules: how long a step is, given its direction g/√Ê. β decides E, and these decide the rest.

    intentional     the step by which the loss falls by a given amount
    trac            the path of the optimizer so far, scaled by how well it has paid off

They make "a better β" and "another step size" two things that can be varied apart. A rule is a frozen dataclass; see base.py for
what one has to define. Its text form is that of β rules: `intentional:eta=0.05`, `trac`. Any optimizer can have
trac around it, see around.py.
"""

from __future__ import annotations

from functools import lru_cache

from rl_rmsprop import grammar
from rl_rmsprop.step_sizes.around import AroundOptimizer
from rl_rmsprop.step_sizes.base import StepInputs, StepSize
from rl_rmsprop.step_sizes.intentional import Intentional
from rl_rmsprop.step_sizes.trac import Trac

__all__ = ["STEP_SIZES", "AroundOptimizer", "Intentional", "StepInputs", "StepSize", "Trac", "parse", "text"]

STEP_SIZES: dict[str, type[StepSize]] = {"intentional": Intentional, "trac": Trac}
"""Name in texts → rule."""


@lru_cache
def parse(spec: str) -> StepSize:
    """The rule that a text stands for; ValueError names what is wrong and what is allowed.

    >>> parse("intentional:eta=0.1")
    Intentional(eta=0.1, decay=0.0)
    """
    name, pairs = grammar.split(spec)
    if name not in STEP_SIZES:
        raise ValueError(f"lr_rule must be a known step-size rule, got {spec!r}: {grammar.nearest(name, STEP_SIZES)}")
    return grammar.build(STEP_SIZES[name], pairs, spec)


def text(rule: StepSize | str | None) -> str | None:
    """The shortest text that `parse` turns into the same rule; a text, or None for no rule, as it is.

    ValueError for a rule that is not in STEP_SIZES.
    """
    if rule is None or isinstance(rule, str):
        return rule
    names = [name for name, kind in STEP_SIZES.items() if type(rule) is kind]
    if not names:
        raise ValueError(f"lr_rule must be one of {', '.join(STEP_SIZES)}, got {type(rule).__name__}")
    return grammar.text(names[0], grammar.non_defaults(rule))

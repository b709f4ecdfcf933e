"""One table of β rules × the contracts that tests hold them to: a new rule is a row here, and is tested.

tests/test_rule_contracts.py    float64 truth, bounds of β, invariances, text form, curve
tests/test_optimizer.py         runs axis, resumption, skipped updates, copies, state_dicts, statistics
tests/test_mask.py              runs that are left out
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from tests import law_references as references
from tests.law_references import Divide, Options


class Row(NamedTuple):
    """A rule, and what holds for it."""

    arguments: dict[str, Any]
    """Of AdaptiveRMSprop."""
    reference: Callable[[Options], Divide] | None = None
    """The rule written down a second time, for those that are no schedule of a clock."""
    low: float = 0.0
    """Least β."""
    high: float = 0.999
    """Largest β."""
    has_scale: bool = False
    """Whether multiplying all gradients by a number changes β, or what divides them by more than the number."""
    has_order: bool = False
    """Whether the order of a parameter's entries matters."""
    has_sign: bool = False
    """Whether the signs of the gradients matter."""


def law(text: str, reference: Callable[[Options], Divide], low: float, high: float, **more: Any) -> Row:
    """A row of a law by its text."""
    return Row({"alpha": text}, reference, low, high, **more)


ROWS: dict[str, Row] = {
    "number": Row({"alpha": 0.9}, low=0.9, high=0.9),
    "number, corrected": Row({"alpha": 0.9, "bias_correction": True}, low=0.9, high=0.9),
    "schedule": Row({"alpha": "linear:start=0.5,end=0.99,steps=60"}, low=0.5, high=0.99),
    "schedule, corrected": Row({"alpha": "linear:start=0.5,end=0.99,steps=60", "bias_correction": True}, low=0.5, high=0.99),
    "refresh": Row({"alpha": "refresh:R=5,updates=60"}, low=1 - 5 / 60, high=1 - 5 / 60),
    "samples": Row({"alpha": "samples:halflife=500,per_update=20"}, low=2 ** (-20 / 500), high=2 ** (-20 / 500)),
    "cusum": Row({"alpha": "cusum:arl=20,burn_in=5,max=0.95"}, high=0.95),
    "cusum, corrected": Row({"alpha": "cusum:arl=20,burn_in=5,schedule=constant,beta=0.9", "bias_correction": True}),
    "cusum, centered": Row(
        {"alpha": "cusum:arl=20,burn_in=5,reaction=drop,schedule=constant,beta=0.9", "centered": True}, has_sign=False
    ),
    "cusum, momentum": Row({"alpha": "cusum:arl=20,burn_in=5,max=0.95", "momentum": 0.5}),
    "cusum of the norm": Row({"alpha": "cusum:arl=20,burn_in=5,signal=grad_norm,reaction=drop"}),
    "cusum of the peak": Row({"alpha": "cusum:arl=20,burn_in=5,signal=peak_surprise"}),
    "cusum of the cosine": Row({"alpha": "cusum:arl=20,burn_in=5,signal=cosine"}),
    "page_hinkley": Row({"alpha": "page_hinkley:arl=20,burn_in=5,min_samples=5"}),
    "random": Row({"alpha": "random:every=9"}),
    "periodic reset": Row({"alpha": "periodic:every=9,reaction=reset,schedule=constant,beta=0.9"}),
    "restart": Row({"alpha": "restart:every=rollout,max=0.95"}),
    "asymmetric": law("asymmetric:rise=0.5,fall=0.95", partial(references.asymmetric, rise=0.5, fall=0.95), 0.5, 0.95),
    "asymmetric, corrected": Row({"alpha": "asymmetric:rise=0.5,fall=0.95", "bias_correction": True}, low=0.5, high=0.95),
    "mixture": Row({"alpha": "mixture"}),
    "mixture, corrected": Row({"alpha": "mixture:betas=0.5/0.9/0.99,share=0.1", "bias_correction": True, "momentum": 0.5}),
    "mixture from one": Row(
        {"alpha": "mixture:betas=0/0.9", "initial_accumulator_value": 1.0, "eps_in_sqrt": True}, has_scale=True
    ),
    "ano": law("ano:beta=0.95", partial(references.ano, beta=0.95), 0.95, 0.95),
    "yogi": law("yogi:beta=0.95", partial(references.yogi, beta=0.95), 0.95, 0.95),
    "amsgrad": law("amsgrad:beta=0.95", partial(references.amsgrad, beta=0.95), 0.95, 0.95),
    "adamax": law("adamax:beta=0.95", partial(references.adamax, beta=0.95), 0.95**2, 0.95**2),
    "lagged": law("lagged:beta=0.95", partial(references.lagged, beta=0.95), 0.95, 0.95),
    "lagged, clipped": law("lagged:beta=0.95,clip=true", partial(references.lagged, beta=0.95, clip=True), 0.95, 0.95),
    "adams": law("adams:beta=0.95", partial(references.adams, beta=0.95), 0.95, 0.95),
    "bcos": law("bcos:beta=0.9", partial(references.bcos, beta=0.9), 0.9, 0.9),
    "bcos, exact": law("bcos:beta=0.9,exact=true", partial(references.bcos, beta=0.9, exact=True), 0.9, 0.9),
    "smorms3": law("smorms3", references.smorms3, 0.5, 1.0, has_scale=True),
    "maxva": law("maxva:max=0.99", partial(references.maxva, high=0.99), 0.5, 0.99),
    "adasmooth": law("adasmooth:updates=7", partial(references.adasmooth, updates=7), 0.75, 0.9999),
    "kourkoutas": law("kourkoutas", references.kourkoutas, 0.9, 0.999),
    "coupled": Row({"alpha": "coupled:start=0.9,max=0.99"}, low=0.9, high=0.9),
    "policy_clock": law("policy_clock:kl=0.02,max=0.99", partial(references.policy_clock, high=0.99), 0.0, 0.99, has_scale=True),
    "hypergradient": law(
        "hypergradient:start=0.9,rate=0.05", partial(references.hypergradient, start=0.9, rate=0.05), 0.5, 0.9995
    ),
    "ano, corrected": Row({"alpha": "ano:beta=0.95", "bias_correction": True, "momentum": 0.5}, low=0.95, high=0.95),
    "amsgrad, corrected": Row({"alpha": "amsgrad:beta=0.95", "bias_correction": True}, low=0.95, high=0.95),
    "hypergradient, corrected": Row({"alpha": "hypergradient:start=0.9", "bias_correction": True}, low=0.5, high=0.9995),
    "intentional": Row(
        {"alpha": 0.9, "bias_correction": True, "lr_rule": "intentional:eta=0.05"}, low=0.9, high=0.9, has_scale=True
    ),
    "intentional, lagging": Row(
        {"alpha": "ano:beta=0.95", "lr_rule": "intentional:decay=0.9"}, low=0.95, high=0.95, has_scale=True
    ),
    "trac": Row({"alpha": "cusum:arl=20,burn_in=5,max=0.95", "lr_rule": "trac:start=0.1", "momentum": 0.5}, has_scale=True),
}
"""Name → rule. The gradients that it is tested with are those of `gradients` in tests/test_optimizer.py."""

VARIED = (
    "number", "number, corrected", "schedule", "cusum", "cusum, centered", "cusum, momentum", "cusum of the cosine",
    "page_hinkley", "periodic reset", "asymmetric, corrected", "mixture", "lagged, clipped", "maxva", "hypergradient",
    "intentional", "trac",
)  # fmt: skip
"""Rows between them with every way through the optimizer, for contracts that are slow to test."""
VARIED_RULES = {name: ROWS[name].arguments for name in VARIED}
"""Name → arguments of those."""

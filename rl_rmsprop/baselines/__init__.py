"""Optimizers to compare β rules with: torch's, Adam as reinforcement learning has changed it, and Muon.

A baseline has a text as a rule has one, `name` or `name:key=value,…`, with its decay rates as keys: `adam:beta1=0.5,beta2=0.99`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import grammar
from rl_rmsprop.baselines.adam_rel import AdamRel
from rl_rmsprop.baselines.keys import Betas, EqualBetas, Keys, MuonKeys
from rl_rmsprop.baselines.muon import BatchedMuon, Matrix

__all__ = ["BASELINES", "AdamRel", "Baseline", "BatchedMuon", "names_baseline", "parse"]


@dataclass(frozen=True)
class Kind:
    """What a baseline's name stands for."""

    optimizer: Callable[..., torch.optim.Optimizer]
    keys: type[Keys] = Keys
    """What its text can set."""
    constants: tuple[tuple[str, Any], ...] = ()
    """Arguments of the optimizer that the name stands for."""
    has_eps: bool = True
    """Whether it has an ε."""
    takes_matrices: bool = False
    """Whether it is told where weight matrices lie."""


BASELINES: dict[str, Kind] = {
    "sgd": Kind(torch.optim.SGD, has_eps=False),
    "momentum": Kind(torch.optim.SGD, constants=(("momentum", 0.9),), has_eps=False),
    "adagrad": Kind(torch.optim.Adagrad),
    "rmsprop": Kind(torch.optim.RMSprop, constants=(("alpha", 0.99),)),
    "adam": Kind(torch.optim.Adam, Betas),
    "adam_balanced": Kind(torch.optim.Adam, EqualBetas),
    "adam_rel": Kind(AdamRel, Betas),
    "adam_amsgrad": Kind(torch.optim.Adam, Betas, (("amsgrad", True),)),
    "adamax_momentum": Kind(torch.optim.Adamax, Betas),
    "muon": Kind(BatchedMuon, MuonKeys, takes_matrices=True),
}
"""Name on the command line → optimizer."""


@dataclass(frozen=True)
class Baseline:
    """A baseline with its keys.

    >>> baseline = parse("adam:beta2=0.99,beta1=0.9")
    >>> baseline.text
    'adam:beta2=0.99'
    >>> baseline.optimizer([torch.nn.Parameter(torch.ones(3))], lr=1e-3).defaults["betas"]
    (0.9, 0.99)
    """

    name: str
    keys: Keys

    @property
    def text(self) -> str:
        """The shortest text that stands for it."""
        return grammar.text(self.name, grammar.non_defaults(self.keys))

    def optimizer(
        self, params: Sequence[Tensor], lr: float, eps: float = 1e-8, matrices: Sequence[Sequence[Matrix]] | None = None
    ) -> torch.optim.Optimizer:
        """The optimizer, with ε if it has one, and of `matrices`, a list for each parameter, if it is one for them."""
        kind = BASELINES[self.name]
        more: dict[str, Any] = {"eps": eps} if kind.has_eps else {}
        if kind.takes_matrices:
            more["matrices"] = matrices
        return kind.optimizer(params, lr=lr, **more, **dict(kind.constants), **self.keys.arguments)


def names_baseline(text: str) -> bool:
    """Whether a text begins with the name of a baseline."""
    return text.partition(":")[0].strip() in BASELINES


def parse(text: str) -> Baseline:
    """The baseline that a text stands for; ValueError for an unknown name or key, and for a value out of its range."""
    name, pairs = grammar.split(text)
    if name not in BASELINES:
        raise ValueError(f"baseline must be a known optimizer, got {name!r}: {grammar.nearest(name, BASELINES)}")
    keys = BASELINES[name].keys
    if keys is Keys and pairs:
        raise ValueError(f"{name} has no keys, got {text!r}: write {name}")
    return Baseline(name, grammar.build(keys, pairs, text))

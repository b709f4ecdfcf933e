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
from rl_rmsprop.muon import BatchedMuon, Matrix, check_rate

__all__ = ["BASELINES", "AdamRel", "Baseline", "names_baseline", "parse"]


class AdamRel(torch.optim.Adam):
    """Adam whose clock begins anew on every rollout, while its running means stay.

    The bias correction 1/(1 − βᵗ) is that of t updates since the rollout began. Where a new rollout's gradients are many times
    larger, Adam's first step is up to (1 − β₁)/√(1 − β₂) times lr, 3.2 with the defaults, and this one's at most lr.

    Source: Ellis et al. 2024, NeurIPS, "Adam on local time" (arXiv:2412.17113), algorithm 1.

    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = AdamRel([weight], lr=0.1)
    >>> for _ in range(5):
    ...     optimizer.begin_rollout()
    ...     weight.grad = torch.ones(3)
    ...     optimizer.step()
    >>> optimizer.state[weight]["step"]
    tensor(1.)
    """

    def begin_rollout(self) -> None:
        """Set the clock to zero; the training loop calls this before the first update on each rollout."""
        for state in self.state.values():
            if "step" in state:  # not before the first update
                state["step"].zero_()


# Keys ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keys(grammar.Settings):
    """What a baseline's text can set, here nothing."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the optimizer."""
        return {}


@dataclass(frozen=True)
class Betas(Keys):
    """Adam's decay rates."""

    beta1: float = 0.9
    """Of the running mean of g, in [0, 1)."""
    beta2: float = 0.999
    """Of the running mean of g², in [0, 1)."""

    def validate(self) -> None:
        """ValueError for a rate out of its range."""
        check_rate("beta1", self.beta1)
        check_rate("beta2", self.beta2)

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Keys`."""
        return {"betas": (self.beta1, self.beta2)}


@dataclass(frozen=True)
class EqualBetas(Keys):
    """Adam's decay rates where they are one."""

    beta: float = 0.95
    """Of the running means of g and of g², in [0, 1)."""

    def validate(self) -> None:
        """ValueError for a rate out of its range."""
        check_rate("beta", self.beta)

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Keys`."""
        return {"betas": (self.beta, self.beta)}


@dataclass(frozen=True)
class MuonKeys(Betas):
    """Muon's momentum, and the decay rates of its Adam."""

    momentum: float = 0.95
    """Decay rate of a matrix's running mean of g, in [0, 1)."""

    def validate(self) -> None:
        """ValueError for a rate out of its range."""
        super().validate()
        check_rate("momentum", self.momentum)

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Keys`."""
        return {**super().arguments, "momentum": self.momentum}


# Names --------------------------------------------------------------------------------------------------------------------


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

"""Optimizers to compare β rules with: torch's, and Adam as reinforcement learning has changed it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

__all__ = ["BASELINES", "WITHOUT_EPS", "AdamRel"]


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


BASELINES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.99),
    "adam": torch.optim.Adam,
    "adam_balanced": partial(torch.optim.Adam, betas=(0.95, 0.95)),
    "adam_rel": AdamRel,
    "adam_amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "adamax_momentum": torch.optim.Adamax,
}
"""Name on the command line → optimizer; β₁ = 0.9, β₂ = 0.999 (both 0.95 for `adam_balanced`) and ε as the study has it."""

WITHOUT_EPS = ("sgd", "momentum")
"""Those that have no ε."""

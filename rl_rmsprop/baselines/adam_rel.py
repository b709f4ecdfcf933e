"""Adam on the clock of a rollout."""

from __future__ import annotations

import torch

__all__ = ["AdamRel"]


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

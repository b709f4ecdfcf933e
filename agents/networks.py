"""The policy and value networks of R runs at once: two multilayer perceptrons whose every parameter has a leading run axis.

All weights of one network lie in one flat tensor θ [R, P], which is what autograd and the optimizer see: gradient norms, clipping
and statistics per run are then operations along one axis. Rows never meet, so the gradient of the summed loss of all runs is,
row by row, the gradient of each run's own loss. Outputs that do not depend on the state (the ln σ of a Gaussian policy) stand
behind the weights in θ. How the networks are computed is in agents/mlp.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.config import check_scale
from agents.distributions import ActionEvaluation, Head
from agents.mlp import MLP, ActingNetwork
from agents.normalization import UNCHANGED, Normalization
from rl_rmsprop.storage.snapshot import load_plain, to_plain


class ActorCritic:
    """A policy and a state value for each of R runs; separate networks of the same hidden widths.

    Initial gains follow Stable-Baselines3: √2 in hidden layers, 0.01 for the policy's output (so that all actions start
    nearly equally likely, or have means near 0), 1 for the value's. Observations given to its methods are normalised ones:
    `normalization` is applied by whoever acts, once for each observation.
    """

    def __init__(
        self,
        observation_size: int,
        head: Head,
        hidden: Sequence[int],
        generators: Sequence[np.random.Generator],  # one a run
        observation_scale: Sequence[float] = (),
        normalization: Normalization = UNCHANGED,
        device: torch.device | str = "cpu",
    ) -> None:
        """`head` says what kind of actions the policy takes; both networks live on `device`.

        `observation_scale`, one number a sensor, divides observations first; ValueError if it is of another length.
        """
        check_scale(observation_scale, observation_size)
        gain = 1 / torch.tensor(observation_scale) if observation_scale else None  # [O]
        self.head, self.normalization = head, normalization
        gains = [2**0.5] * len(hidden)
        self.actor = MLP([observation_size, *hidden, head.outputs], [*gains, 0.01], generators, head.constants, gain, device)
        self.critic = MLP([observation_size, *hidden, 1], [*gains, 1.0], generators, (), gain, device)

    @property
    def device(self) -> torch.device:
        """Where the networks are, and what they are to learn from."""
        return self.actor.theta.device

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer trains: θ of the actor [R, P_actor] and of the critic [R, P_critic]."""
        return [self.actor.theta, self.critic.theta]

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The same with names, for optimizers and error messages."""
        return [("actor", self.actor.theta), ("critic", self.critic.theta)]

    def snapshot(self) -> dict[str, Any]:
        """Weights and running statistics of all runs."""
        return {
            "weights": to_plain([theta.data for theta in self.parameters()]),
            "normalization": to_plain(list(self.normalization)),
        }

    @torch.no_grad()
    def restore(self, saved: dict[str, Any]) -> None:
        """Put them back, in place."""
        for theta, weights in zip(self.parameters(), saved["weights"], strict=True):
            theta.copy_(weights)
        load_plain(list(self.normalization), saved["normalization"])

    def backward(self, loss: Tensor) -> None:  # loss: [R]
        """Set `theta.grad` of both networks to the gradient of each run's loss."""
        gradients = torch.autograd.grad(loss.sum(), self.parameters())
        for theta, gradient in zip(self.parameters(), gradients, strict=True):
            theta.grad.copy_(gradient)  # type: ignore[union-attr]  # networks have memory for theirs

    def outputs(self, observations: Tensor) -> Tensor:  # [R, B, O] → [R, B, …]
        """What the head makes a distribution of: logits, or means and ln σ."""
        return self.actor(observations)

    def reflex(self, rows: int) -> ActingNetwork:
        """The actor arranged for acting on observations [R, rows, O]."""
        return ActingNetwork(self.actor, rows)

    def judge(self, observations: Tensor, actions: Tensor) -> ActionEvaluation:  # [R, B, O], [R, B, …]
        """Log-probabilities of actions to_plain, and entropies."""
        return self.head.judge(self.outputs(observations), actions)

    def values(self, observations: Tensor) -> Tensor:  # [R, B, O] → [R, B]
        """Expected discounted return from each state."""
        return self.critic(observations).squeeze(-1)

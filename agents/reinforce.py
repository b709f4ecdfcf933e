"""REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4).

    loss = −mean((G − b(s)) · ln π(a|s))  +  vf_coef · mean((G − b(s))²)  −  ent_coef · mean(entropy)

G is the Monte Carlo return: the discounted sum of rewards to the episode's end. An update takes the rollout of `n_steps`
steps in `n_envs` environments; choose `n_steps` of the order of the longest episode. An episode that the rollout cuts, or
that the environment truncates, counts the baseline's value of its last state as the rest of its return, as Spinning Up's
VPG does: leaving cut episodes out would favour short ones.
"""

from __future__ import annotations

from agents.a2c import learn_once
from agents.config import Reinforce
from agents.distributions import Generators
from agents.experience import Rollout
from agents.losses import MetricsFn, UpdateStep
from agents.networks import ActorCritic


def learn(settings: Reinforce, policy: ActorCritic, rollout: Rollout, update: UpdateStep, generators: Generators) -> MetricsFn:
    """One update of all runs on the whole rollout; nothing is drawn. Its curves show the networks before the update."""
    return learn_once(settings, policy, rollout, update, gae_lambda=1.0)  # λ = 1: A = G − b(s)

"""Laws: E itself decides how fast it forgets, from the squared gradients that it takes.

    asymmetric      β_i = rise where g_i² > Ê_i, else fall
    mixture         Ê = Π_k v_k^{W_k}, the means v_k with decay β_k weighted by how well they have predicted g²
    ano, yogi       E takes the sign of g² − E
    amsgrad, adamax the largest E, or |g|, so far
    lagged          the gradient is divided before E takes it
    adams, bcos     E from the last momentum
    smorms3, maxva, adasmooth        a β per parameter, from its gradients or its path
    kourkoutas      a β per tensor, from the length of its gradient
    coupled         β from lr
    policy_clock    β from how far the policy has moved
    hypergradient   β descends the loss

A law needs no detector and no clock. It is a frozen dataclass; see base.py for what one has to define. Its `update` is its half
of the optimizer's update, in place of `equations.update_mean_square`; the other half divides the gradient by its `divisor`. Where
these take many calls of torch, the compiled kernel has both halves in one (`compiled`, rl_rmsprop/native/cpp/laws.h).
"""

from rl_rmsprop.laws.asymmetric import Asymmetric
from rl_rmsprop.laws.base import BetaLaw, Law, LawInputs
from rl_rmsprop.laws.coupled import Coupled
from rl_rmsprop.laws.elementwise import AdaSmooth, MaxVA, Smorms3
from rl_rmsprop.laws.hypergradient import Hypergradient
from rl_rmsprop.laws.kourkoutas import Kourkoutas
from rl_rmsprop.laws.lagged import Lagged
from rl_rmsprop.laws.maxima import Adamax, AmsGrad
from rl_rmsprop.laws.mixture import CAP, Mixture
from rl_rmsprop.laws.momentum import AdamS, Bcos
from rl_rmsprop.laws.policy_clock import PolicyClock
from rl_rmsprop.laws.signs import Ano, Yogi

__all__ = [
    "CAP", "LAWS", "AdaSmooth", "AdamS", "Adamax", "AmsGrad", "Ano", "Asymmetric", "Bcos", "BetaLaw", "Coupled",
    "Hypergradient", "Kourkoutas", "Lagged", "Law", "LawInputs", "MaxVA", "Mixture", "PolicyClock", "Smorms3", "Yogi",
]  # fmt: skip

LAWS: dict[str, type[Law]] = {
    "asymmetric": Asymmetric,
    "mixture": Mixture,
    "ano": Ano,
    "yogi": Yogi,
    "amsgrad": AmsGrad,
    "adamax": Adamax,
    "lagged": Lagged,
    "adams": AdamS,
    "bcos": Bcos,
    "smorms3": Smorms3,
    "maxva": MaxVA,
    "adasmooth": AdaSmooth,
    "kourkoutas": Kourkoutas,
    "coupled": Coupled,
    "policy_clock": PolicyClock,
    "hypergradient": Hypergradient,
}
"""Name in texts → law."""

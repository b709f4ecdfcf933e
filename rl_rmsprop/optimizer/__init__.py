"""The optimizer: what is listened to, what β is, what E becomes, where the parameters go."""

from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop

__all__ = ["AdaptiveRMSprop"]

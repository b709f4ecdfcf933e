"""One random stream for each purpose of each run, shared by environments, agents and studies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def seed_sequence(seed: int, *purpose: str | int) -> np.random.SeedSequence:
    """The random stream of one purpose in the run with this seed: SeedSequence keyed by (seed, purpose).

    Keys are spelled out instead of spawned in order, so that adding a stream never moves another one.

    >>> int(seed_sequence(7, "env", 0).generate_state(1)[0]) == int(seed_sequence(7, "env", 1).generate_state(1)[0])
    False
    """
    # A hash, because SeedSequence itself pads its key with zeros: [7, 1] and [7, 1, 0] would be the same stream.
    key = repr((int(seed), *purpose)).encode()
    return np.random.SeedSequence(int.from_bytes(hashlib.sha256(key).digest(), "little"))


def generators(seeds: Sequence[int], *purpose: str | int) -> list[np.random.Generator]:
    """A generator of this purpose for each run, from the runs' seeds.

    >>> one, other = generators([3, 7], "policy")
    >>> float(other.random()) == float(generators([7], "policy")[0].random())
    True
    """
    return [np.random.default_rng(seed_sequence(seed, *purpose)) for seed in seeds]

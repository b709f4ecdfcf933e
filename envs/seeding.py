"""One random stream for each purpose of each run."""

from __future__ import annotations

import hashlib

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

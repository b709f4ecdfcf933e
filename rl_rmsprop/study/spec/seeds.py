"""Seeds as text: `0-9`, `3`, `0,2,5-7`."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_SEEDS = 10_000
LARGEST_SEED = 2**32 - 1


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text: `0-9`, `3`, `0,2,5-7`.

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,20})(?:-([0-9]{1,20}))?\s*", part)  # \d would be the digits of all scripts
        if not match:
            raise ValueError(f"seeds must be whole numbers from 0 and ranges such as 0-9 or 0,2,5-7, got {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"a range of seeds must rise, got {part.strip()!r}: write {last}-{first}")
        if last > LARGEST_SEED:
            raise ValueError(f"seeds must be at most {LARGEST_SEED}, got {last}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"a study may have at most {MOST_SEEDS} seeds, got more with {part.strip()!r}")
        seeds.extend(range(first, last + 1))
    return tuple(seeds)


def written_seeds(seeds: Sequence[int]) -> str:
    """Seeds as the shortest text that `parse_seeds` reads back.

    >>> written_seeds((0, 1, 2, 7, 5, 6))
    '0-2,7,5-6'
    """
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1][1:] = [seed]
        else:
            ranges.append([seed])
    return ",".join("-".join(map(str, ends)) for ends in ranges)

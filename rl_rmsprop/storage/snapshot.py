"""The state of an object as plain data, and the object with that state again: for checkpoints.

    object.snapshot() → dict of arrays, numbers, texts, lists …        object.restore(that dict) → the object continues from there

A class names its attributes in `STATE_ATTRIBUTES`, which may hold objects with snapshots of their own, random generators (of
which only the state is saved, so that whoever shares one still shares it), and lists and dicts of any of them. What is fixed
when an object is made (settings, sizes) is not saved: restore into an object made alike.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class SupportsSnapshot(Protocol):
    """An object that can be saved and restored."""

    def snapshot(self) -> dict[str, Any]:
        """What it keeps, as plain data; later changes of the object do not touch it."""
        ...

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what `snapshot` returned."""
        ...


class Snapshottable:
    """Base class for objects whose whole state is some attributes."""

    STATE_ATTRIBUTES: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes."""

    def snapshot(self) -> dict[str, Any]:
        """See `SupportsSnapshot`."""
        return {name: to_plain(getattr(self, name)) for name in self.STATE_ATTRIBUTES}

    def restore(self, saved: dict[str, Any]) -> None:
        """See `SupportsSnapshot`; KeyError if an attribute is missing."""
        for name in self.STATE_ATTRIBUTES:
            setattr(self, name, load_plain(getattr(self, name), saved[name]))


def to_plain(value: Any) -> Any:
    """Plain data of a value: nothing of it changes when the value does."""
    if isinstance(value, np.random.Generator):
        return to_plain(value.bit_generator.state)
    if isinstance(value, SupportsSnapshot):
        return value.snapshot()
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, deque)):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.copy()
    return value.detach().clone() if hasattr(value, "detach") else value  # a tensor, without importing torch


def load_plain(now: Any, saved: Any) -> Any:
    """What takes the place of `now`: the same object with the saved state where it has one, else the saved value."""
    if isinstance(now, np.random.Generator):
        now.bit_generator.state = saved
        return now
    if isinstance(now, SupportsSnapshot):
        now.restore(saved)
        return now
    if isinstance(now, deque):
        return deque(saved, now.maxlen)
    if isinstance(now, dict):
        return {key: load_plain(now.get(key), item) for key, item in saved.items()}
    if isinstance(now, (list, tuple)) and len(now) == len(saved):
        return type(now)([load_plain(old, item) for old, item in zip(now, saved, strict=True)])
    return to_plain(saved)

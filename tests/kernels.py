"""Runs the tests of a module that imports `kernel` with each kernel that this machine has."""

from __future__ import annotations

import pytest

from agents import mlp
from agents.kernels import KERNELS
from rl_rmsprop.native import library

AVAILABLE = [name for name in KERNELS if name != "native" or library.is_useful()]


@pytest.fixture(params=AVAILABLE, scope="module", autouse=True)
def kernel(request):
    """The kernel that networks are computed by unless a test says otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp, "default_kernel", lambda: request.param)
        yield request.param

"""Blocks: a law's update of small parameters joined and of large ones cut is that of each parameter by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from rl_rmsprop import AdaptiveRMSprop, rules
from rl_rmsprop.kernels import blocks
from rl_rmsprop.laws import LAWS, Law
from tests.rule_table import ROWS

IN_BLOCKS = {name: row.arguments for name, row in ROWS.items() if isinstance(rules.as_rule(row.arguments["alpha"]), Law)}
SHAPES = ((4, 3), (5,), (), (140, 40), (2, 3, 2), (0,))
"""Joined, cut (5,600 entries are two blocks), and nothing at all."""
JOINED, CUT = 2**10, 2**12
"""Least and most entries of a parameter by itself: with the package's own numbers these tests would be slow."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "JOINED", JOINED)
    monkeypatch.setattr(blocks, "CUT", CUT)


def trained(arguments: dict[str, Any], updates: int = 12, **options: Any) -> tuple[AdaptiveRMSprop, list[Parameter]]:
    """An optimizer and its parameters, after updates in which one has had no gradient at first."""
    chance = torch.Generator().manual_seed(1)
    params = [Parameter(torch.randn(shape, generator=chance)) for shape in SHAPES]
    forbidden = {"initial_accumulator_value": "bias_correction", "lr_rule": "momentum"}
    refused = {option for name, option in forbidden.items() if name in arguments}
    options = {name: value for name, value in options.items() if name not in refused}
    optimizer = AdaptiveRMSprop(params, **{"lr": 1e-3, **options, **arguments})
    for n in range(updates):
        for k, p in enumerate(params):
            g = torch.randn(p.shape, generator=chance) * (10.0 if n == 6 else 1.0)
            p.grad = None if k == 1 and n < 2 else g
        optimizer.step()
    return optimizer, params


def tensors(optimizer: AdaptiveRMSprop, params: list[Parameter]) -> dict[str, Tensor]:
    """All that an update has changed."""
    states = {f"{k}/{name}": t for k, p in enumerate(params) for name, t in optimizer.state[p].items()}
    return states | {str(k): p.detach() for k, p in enumerate(params)} | {"beta": optimizer.beta}


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "bias_correction": True, "weight_decay": 0.1}], ids=["plain", "all"])
@pytest.mark.parametrize("arguments", IN_BLOCKS.values(), ids=IN_BLOCKS)
def test_blocks_are_the_parameters(arguments: dict[str, Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: an entry takes its neighbour's memory, or a large parameter's w is updated once a block."""
    in_blocks = tensors(*trained(arguments, **options))
    monkeypatch.setattr(blocks, "JOINED", -1)
    monkeypatch.setattr(blocks, "CUT", 10**9)
    apart = tensors(*trained(arguments, **options))
    assert in_blocks.keys() == apart.keys()
    for name, expected in apart.items():
        torch.testing.assert_close(
            in_blocks[name], expected, rtol=2e-4, atol=1e-6, equal_nan=True, msg=lambda m, at=name: f"{at}: {m}"
        )


def test_small_parameters_are_joined_and_large_ones_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: everything is right, and thirty calls are made for each of a hundred biases."""
    seen: list[list[int]] = []

    def counting(self: Any, state: Any, at: Any) -> Any:
        seen.append([slot.E.numel() for slot in at.slots])
        return whole(self, state, at)

    whole = LAWS["yogi"].update
    monkeypatch.setattr(LAWS["yogi"], "update", counting)
    trained({"alpha": "yogi:beta=0.999"}, updates=4)
    assert seen[0] == [12 + 1 + 12, CUT, 5_600 - CUT]
    assert seen[3] == [12, 5, 1, CUT, 5_600 - CUT, 12]  # the second has another w than the others

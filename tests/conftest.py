"""One torch thread a test process, products that round alike, and figures drawn only where a test is about them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from agents import reproducible_products
from rl_rmsprop.study.report import figures
from tests.builders import write_placeholders

reproducible_products()  # before the first product of the process, whichever test makes it
torch.set_num_threads(1)  # small products are slower with more, and two processes run side by side

MODULES_WITH_FIGURES = ("tests.test_study", "tests.test_sensitivity")
"""Test modules in which a report has its real figures: elsewhere they would take most of the time of a tiny study."""


@pytest.fixture(scope="module", autouse=True)
def figures_where_they_matter(request: pytest.FixtureRequest) -> Iterator[None]:
    """Placeholders in place of a report's figures, in all other modules."""
    with pytest.MonkeyPatch.context() as patch:
        if request.module.__name__ not in MODULES_WITH_FIGURES:
            patch.setattr(figures, "draw", write_placeholders)
        yield

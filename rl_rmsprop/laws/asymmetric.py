"""A β for every parameter, by whether the squared gradient exceeds what E expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.laws.base import check_single
from rl_rmsprop.laws.elementwise import Elementwise


@dataclass(frozen=True)
class Asymmetric(Elementwise):
    """A β for every parameter: `rise` where g² > Ê, else `fall`.

    rise < fall remembers large gradients at once and forgets them slowly: E follows an upper envelope of g², and the step is
    smaller than RMSProp's at the same lr. rise = 0 is a decaying maximum (kin of Adamax and AMSGrad), rise > fall the
    reverse. Compare it with other rules over the whole range of lr, not at one.
    """

    rise: float = 0.9
    """β where the squared gradient exceeds Ê, in [0, 1)."""
    fall: float = 0.999
    """β where it does not, in [0, 1)."""

    example = "asymmetric:rise=0.9,fall=0.999"
    source = "this package"

    def validate(self) -> None:
        check_single("rise", self.rise)
        check_single("fall", self.fall)

    def share(self, slot: Slot, square: Tensor, group: dict[str, Any]) -> Tensor:
        w = slot.state["weight"]  # in single precision at least, and so what is returned
        # Whether g² exceeds E/w, without a division by 0.
        exceeds = square.to(w.dtype, copy=True) if group["initial_accumulator_value"] else square * w
        rise, fall = 1 - self.rise, 1 - self.fall
        if rise < fall:  # the smaller is what is added to, so that it is exact
            return exceeds.le_(slot.E).mul_(fall - rise).add_(rise)
        return exceeds.gt_(slot.E).mul_(rise - fall).add_(fall)

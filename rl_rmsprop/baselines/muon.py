"""Muon for R runs at once: weight matrices move by their orthogonalised momentum, all other parameters as Adam moves them.

    m ← μ m + (1 − μ) g                                                     of every weight matrix [I, H]
    W ← W − lr · 0.2 √max(I, H) · O(μ m + (1 − μ) g)
    O(X): X ← X/‖X‖,  five times X ← a X + (b XXᵀ + c (XXᵀ)²) X             Newton–Schulz: all singular values come near 1

Every matrix of every run is multiplied by itself alone, all runs in one batched product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.baselines.keys import check_rate

__all__ = ["BatchedMuon", "Matrix", "orthogonalized"]

Matrix = tuple[int, int, int]
"""Where a weight matrix lies in a run's parameters: its first number, rows I, columns H."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of Jordan et al. 2024, as in torch.optim.Muon: singular values end between 0.7 and 1.2, soon also small ones."""
STEPS = 5
SMALLEST = 1e-7
"""What ‖X‖ is divided by at least."""
WHOLE = 16
"""Rows and columns are filled up with zeros to a multiple of this many, so that all runs' matrices are aligned alike in memory
and no product becomes one of a matrix and a vector, which would round differently for one run and for many."""


class BatchedMuon(torch.optim.Optimizer):
    """Muon for weight matrices and Adam for all else, of R runs that share a tensor and never meet.

    The first axis of every parameter is the run. A parameter [R, I, H] is a matrix of each run; in one that holds all weights
    of a network in a row, [R, P], `matrices` says where they lie. All else is Adam's, with the same lr: biases, gains, and
    output layers where `matrices` leaves them out, as Jordan does (PufferLib does not; Jordan leaves embeddings to Adam as
    well). The factor 0.2 √max(I, H) gives the update of a matrix of full rank the root mean square 0.2 lr, about that of
    Adam's, so that one lr serves both; gradients of few directions move less. Wrap it in `agents.PerRun` where runs may be left
    out of an update.

    Newton–Schulz is computed in the parameters' type, in float32 for those of 16 bits. (Jordan's code and torch's take bfloat16
    for the sake of a GPU's speed; a CPU gains nothing by it, and its 8 bits would be the largest error here.) A run has the same
    bits alone and in a batch on the CPU if MKL is asked for it before its first product: `agents.reproducible_products()`.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon, with
    momentum as a running mean as in its code and in torch.optim.Muon; the factor of lr: Liu et al. 2025 (arXiv:2502.16982). No
    weight decay.

    >>> weight, bias = torch.nn.Parameter(torch.zeros(2, 3, 4)), torch.nn.Parameter(torch.zeros(2, 4))  # two runs
    >>> optimizer = BatchedMuon([weight, bias], lr=0.1)
    >>> weight.grad, bias.grad = torch.eye(3, 4).expand(2, 3, 4) * torch.tensor([1.0, 9.0]).view(2, 1, 1), torch.ones(2, 4)
    >>> optimizer.step()
    >>> weight[0].detach().diagonal(), bias[0].detach()  # whatever the gradient's length, about 0.2 √4 lr; and lr
    (tensor([-0.0274, -0.0274, -0.0274]), tensor([-0.1000, -0.1000, -0.1000, -0.1000]))
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        matrices: Sequence[Sequence[Matrix]] | None = None,
    ) -> None:
        """`matrices` are those of each parameter, in the order in which they lie there; `betas` and `eps` are Adam's.

        ValueError for lr or eps below 0, for decay rates outside [0, 1), and for matrices that do not fit their parameter.
        """
        for name, value in (("lr", lr), ("eps", eps)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}: the defaults are lr=1e-3 and eps=1e-8")
        for name, value in (("momentum", momentum), ("beta1", betas[0]), ("beta2", betas[1])):
            check_rate(name, value)
        groups: Any = params if matrices is None else [{"params": list(params), "matrices": matrices}]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in every optimizer of torch; `matrices` in the group, a list for each parameter, are those that it has."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        params = group["params"]
        matrices = group.get("matrices") or [[(0, *p.shape[1:])] if p.dim() == 3 else [] for p in params]
        if len(matrices) != len(params):
            raise ValueError(f"matrices must be given for each of the {len(params)} parameters, got {len(matrices)} lists")
        for p, own in zip(params, matrices, strict=True):
            check_places(p, own)
        group["matrices"] = [[tuple(matrix) for matrix in own] for own in matrices]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; `closure` recomputes the loss."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for p, matrices in zip(group["params"], group["matrices"], strict=True):
                if p.grad is not None:
                    self._update(p, p.grad, matrices, group)
        return loss

    def _update(self, p: Tensor, grad: Tensor, matrices: Sequence[Matrix], group: dict[str, Any]) -> None:
        """One update of one parameter of all runs."""
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)  # the latter only Adam's
        state["step"] += 1
        theta = p.view(len(p), -1)  # [R, P]
        g, m, v = (x.reshape(len(p), -1) for x in (grad, state["exp_avg"], state["exp_avg_sq"]))
        for start, stop in between(matrices, theta.shape[1]):
            part = slice(start, stop)
            adam(theta[:, part], g[:, part], m[:, part], v[:, part], int(state["step"]), group)
        for start, rows, columns in matrices:
            part = slice(start, start + rows * columns)
            muon(theta[:, part], g[:, part], m[:, part], (rows, columns), group)


def check_places(p: Tensor, matrices: Sequence[Matrix]) -> None:
    """ValueError unless the matrices lie in a run's part of the parameter, one behind the other."""
    size, end = p[0].numel() if p.dim() else 0, 0
    for start, rows, columns in matrices:
        if start < end or rows < 1 or columns < 1 or start + rows * columns > size:
            where = f"number {start} to {start + rows * columns} of {size}"
            raise ValueError(f"matrices must lie in their parameter, one behind the other, got {rows} × {columns} at {where}")
        end = start + rows * columns


def between(matrices: Sequence[Matrix], size: int) -> list[tuple[int, int]]:
    """The parts of a row of this size that are in none of the matrices: first number, and the one behind the last.

    >>> between([(0, 4, 64), (320, 64, 64)], 4610)
    [(256, 320), (4416, 4610)]
    """
    stops = [0, *(start + rows * columns for start, rows, columns in matrices)]
    starts = [*(start for start, _, _ in matrices), size]
    return [(stop, start) for stop, start in zip(stops, starts, strict=True) if start > stop]


def adam(theta: Tensor, g: Tensor, m: Tensor, v: Tensor, step: int, group: dict[str, Any]) -> None:
    """Adam's update of numbers [R, n] in place, operation by operation that of torch.optim.Adam."""
    beta1, beta2 = group["betas"]
    m.lerp_(g, 1 - beta1)
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    root = (v.sqrt() / math.sqrt(1 - beta2**step)).add_(group["eps"])
    theta.addcdiv_(m, root, value=-group["lr"] / (1 - beta1**step))


def muon(theta: Tensor, g: Tensor, m: Tensor, shape: tuple[int, int], group: dict[str, Any]) -> None:
    """Muon's update of a matrix of every run in place; all are [R, I · H], and the shape is I, H."""
    momentum = group["momentum"]
    m.lerp_(g, 1 - momentum)
    direction = orthogonalized(g.lerp(m, momentum).reshape(-1, *shape))
    theta.add_(direction.reshape(len(theta), -1), alpha=-group["lr"] * 0.2 * math.sqrt(max(shape)))


def orthogonalized(x: Tensor) -> Tensor:
    """Matrices [R, I, H] of the same singular vectors, with singular values near 1 but for those tiny beside the largest."""
    rows, columns = x.shape[1:]
    if rows > columns:  # XXᵀ is then smaller
        return orthogonalized(x.transpose(1, 2)).transpose(1, 2)
    dtype = torch.promote_types(x.dtype, torch.float32)
    X = x.new_zeros(len(x), *(-(-size // WHOLE) * WHOLE for size in (rows, columns)), dtype=dtype)
    X[:, :rows, :columns] = x
    X /= torch.linalg.vector_norm(X.view(len(X), -1), dim=1).clamp(min=SMALLEST).view(-1, 1, 1)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = torch.bmm(X, X.transpose(1, 2))
        X = torch.baddbmm(X, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), X, beta=a)
    return X[:, :rows, :columns].to(x.dtype)

"""All that is used of torch beyond its public interface, each with what takes its place in a torch that has it no more.

    foreach_*          one call for a list of tensors               else the tensors' own method, one after the other
    fused_adam         Adam's update in one call                    else None; fused.py also tries out what it does
    with_hooks         `step` with hooks and profiler, cheaply      else torch's own wrapper, 45 µs a step
    check_capture      refuses a CUDA graph that would be wrong     else nothing
    not_compiled       keeps torch.compile out of a function        else the public decorator
    load_pre_hooks …   hooks that see a state_dict first            else none
    is_sharded, local  tensors of which a process has a part        a public class, looked up only where it was imported

pyproject.toml declares the versions of torch that were tried.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import profiler
from torch.optim import Optimizer
from torch.optim import optimizer as optim

F = TypeVar("F", bound=Callable[..., Any])

# Lists of tensors ---------------------------------------------------------------------------------------------------------


def foreach(name: str) -> Callable[..., Any]:
    """`torch._foreach_<name>`, or a loop."""
    function: Callable[..., Any] | None = getattr(torch, f"_foreach_{name}", None)
    return loop(name) if function is None else function


def loop(name: str) -> Callable[..., Any]:
    """The tensors' method of this name for lists of tensors: arguments are lists as long, or the same for all."""
    method = getattr(Tensor, name)

    def call(tensors: list[Tensor], *args: Any, **kwargs: Any) -> list[Tensor]:
        columns = [x if isinstance(x, (list, tuple)) else itertools.repeat(x, len(tensors)) for x in args]
        return [method(*row, **kwargs) for row in zip(tensors, *columns, strict=True)]

    return call


foreach_add_, foreach_mul_ = foreach("add_"), foreach("mul_")
foreach_addcmul_, foreach_addcdiv_ = foreach("addcmul_"), foreach("addcdiv_")
foreach_sqrt, foreach_norm, foreach_copy_ = foreach("sqrt"), foreach("norm"), foreach("copy_")
fused_adam: Callable[..., None] | None = getattr(torch, "_fused_adam_", None)

# The step of an optimizer -------------------------------------------------------------------------------------------------


def with_hooks(step: F, spare: bool | None = None) -> F:
    """A class's `step` that calls hooks with torch's arguments and shows itself to the profiler, at no cost where there are none.

    Without `spare` (default: where this torch allows it) torch puts its own wrapper around it, as around any `step`. Within
    torch.compile it runs uncompiled.
    """
    spare = spares_wrapper() if spare is None else spare
    before_all, after_all = (getattr(optim, f"_global_optimizer_{when}_hooks", {}) for when in ("pre", "post"))
    observed = Optimizer.profile_hook_step(step) if spare else step
    uncompiled = not_compiled(observed)

    @functools.wraps(step)
    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return uncompiled(*args, **kwargs)
        optimizer = args[0]
        if not spare or before_all or optimizer._optimizer_step_pre_hooks or profiler._is_profiler_enabled:
            return observed(*args, **kwargs)
        result = step(*args, **kwargs)
        if after_all or optimizer._optimizer_step_post_hooks:
            for hook in itertools.chain(optimizer._optimizer_step_post_hooks.values(), after_all.values()):
                hook(optimizer, args, kwargs)
        return result

    if spare:
        call.hooked = True  # type: ignore[attr-defined]  # torch takes it for wrapped already
    return call  # type: ignore[return-value]


def spares_wrapper() -> bool:
    """Whether torch leaves a `step` alone that is marked as `hooked`, and has hooks and profiler where `with_hooks` looks."""

    class Marked(Optimizer):
        def step(self, closure: Any = None) -> Any:
            """Nothing."""

        step.hooked = True  # type: ignore[attr-defined]

    step = Marked.step
    with suppress(AttributeError):
        Optimizer._patch_step_function(Marked.__new__(Marked))  # not Marked(…), which imports the compiler: two seconds
        of_one = {"_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"} <= Optimizer.__annotations__.keys()
        of_all = hasattr(optim, "_global_optimizer_pre_hooks") and hasattr(optim, "_global_optimizer_post_hooks")
        return Marked.step is step and of_one and of_all and hasattr(profiler, "_is_profiler_enabled")
    return False


def not_compiled(function: F) -> F:
    """The function as it is also within torch.compile."""
    decorate = getattr(torch, "_disable_dynamo", None)  # unlike the public one it imports the compiler only when it is called
    return torch.compiler.disable(function) if decorate is None else decorate(function)


check_capture: Callable[[Optimizer], None] = (
    getattr(Optimizer, "_accelerator_graph_capture_health_check", None)  # until torch 2.10 it was called by the second name
    or getattr(Optimizer, "_cuda_graph_capture_health_check", None)
    or (lambda optimizer: None)
)
"""Raises where a graph of a device is being captured and a group's `capturable` is false."""

# Loading ------------------------------------------------------------------------------------------------------------------

LOAD_PRE_HOOKS = "_optimizer_load_state_dict_pre_hooks"


def call_load_pre_hooks(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """What the hooks registered with `register_load_state_dict_pre_hook` make of a state_dict."""
    state_dict = state_dict.copy()
    for hook in getattr(optimizer, LOAD_PRE_HOOKS, {}).values():
        result = hook(optimizer, state_dict)
        state_dict = state_dict if result is None else result
    return state_dict


@contextmanager
def without_load_pre_hooks(optimizer: Optimizer) -> Iterator[None]:
    """Within it those hooks are not called (again)."""
    hooks = getattr(optimizer, LOAD_PRE_HOOKS, None)
    if hooks is None:
        yield
        return
    setattr(optimizer, LOAD_PRE_HOOKS, type(hooks)())
    try:
        yield
    finally:
        setattr(optimizer, LOAD_PRE_HOOKS, hooks)


# Sharded tensors ----------------------------------------------------------------------------------------------------------


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process may hold only a part of the tensor (FSDP2)."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Tensor) -> Tensor:
    """The part of the tensor that this process holds."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def is_within_zero() -> bool:
    """Whether a ZeroRedundancyOptimizer of several processes is making an optimizer for this process's parameters."""
    module = sys.modules.get("torch.distributed.optim.zero_redundancy_optimizer")
    frame = None if module is None else sys._getframe(1)
    while frame is not None and module is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, module.ZeroRedundancyOptimizer):
            return torch.distributed.get_world_size(owner.process_group) > 1
        frame = frame.f_back
    return False

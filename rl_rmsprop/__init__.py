"""RMSProp whose decay rate β is a number, a schedule, or set by a detector of shifts in gradient statistics."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rl_rmsprop.version import __version__ as __version__

if TYPE_CHECKING:
    from rl_rmsprop import detectors, forecast, laws, rules, schedules, signals
    from rl_rmsprop.api.compare import compare
    from rl_rmsprop.api.trained_study import TrainedStudy, load
    from rl_rmsprop.laws import Asymmetric, Mixture
    from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
    from rl_rmsprop.optimizer.reset import reset_state
    from rl_rmsprop.published import presets
    from rl_rmsprop.rules import Adaptive
    from rl_rmsprop.telemetry.optimizer_telemetry import OptimizerTelemetry

__all__ = [
    "Adaptive", "AdaptiveRMSprop", "Asymmetric", "Mixture", "OptimizerTelemetry", "TrainedStudy", "compare", "detectors",
    "forecast", "laws", "load", "presets", "reset_state", "rules", "schedules", "signals",
]  # fmt: skip

MODULE_OF = {
    "AdaptiveRMSprop": "optimizer.adaptive_rmsprop",
    "Adaptive": "rules",
    "Asymmetric": "laws",
    "Mixture": "laws",
    "OptimizerTelemetry": "telemetry.optimizer_telemetry",
    "TrainedStudy": "api.trained_study",
    "compare": "api.compare",
    "load": "api.trained_study",
    "presets": "published",
    "reset_state": "optimizer.reset",
}
"""Name of the public interface → module that defines it; the other names are modules themselves."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # Imported at first use: the command line answers --help without waiting two seconds for torch.
    if name in MODULE_OF:
        return getattr(import_module(f"rl_rmsprop.{MODULE_OF[name]}"), name)
    if name in __all__:
        return import_module(f"rl_rmsprop.{name}")
    raise AttributeError(f"module 'rl_rmsprop' has no attribute {name!r}")

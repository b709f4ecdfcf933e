"""Every scalar of a run by its tag, and at which iterations of a training it is written down."""

from __future__ import annotations

import math

POINTS = 160
"""Logging steps of one training; each tag gets at most this many values, and one more for the final evaluation."""

OPTIMIZER_TAGS = (
    "optim/beta", "optim/beta_min", "optim/beta_max", "optim/window", "optim/E_q05", "optim/E_q50", "optim/E_q95",
    "optim/effective_lr_q05", "optim/effective_lr_q50", "optim/effective_lr_q95", "optim/update_rms", "optim/grad_norm",
    "optim/surprise", "optim/share_below_eps", "optim/skipped",
)  # fmt: skip
DETECTOR_TAGS = ("detector/statistic", "detector/threshold", "detector/alarms")
AGENT_TAGS = (
    "rollout/ep_rew_mean", "rollout/ep_len_mean", "eval/mean_reward", "train/policy_loss", "train/value_loss",
    "train/entropy", "train/explained_variance", "train/approx_kl", "train/clip_fraction",
)  # fmt: skip
ENVIRONMENT_TAGS = ("env/regime",)
TAGS = (*AGENT_TAGS, *OPTIMIZER_TAGS, *DETECTOR_TAGS, *ENVIRONMENT_TAGS)
"""Every scalar of a run, in the order of the columns of metrics.csv; x is the run's environment steps."""

CHARTS = {
    "Return": "rollout/ep_rew_mean",
    "log₁₀ window 1/(1−β)": "optim/window",
    "log₁₀ E (median)": "optim/E_q50",
    "log₁₀ effective lr (median)": "optim/effective_lr_q50",
    "Detector": "detector/(statistic|threshold)",
    "Alarms so far": "detector/alarms",
    "True regime": "env/regime",
}
"""Title → tags (a regular expression) of the charts on TensorBoard's Custom Scalars tab."""

LOGARITHMIC = ("optim/window", "optim/E_q50", "optim/effective_lr_q50")
"""Tags whose charts are of their decimal logarithms."""


def log10_tag(tag: str) -> str:
    """The tag of the decimal logarithm of a tag's values, in TensorBoard only.

    >>> log10_tag("optim/window")
    'optim/log10_window'
    """
    return tag.replace("/", "/log10_")


def logging_steps(iterations: int) -> int:
    """Iterations of the training from one logging step to the next, so that there are at most POINTS."""
    return max(1, math.ceil(iterations / POINTS))


def is_logged(iteration: int, iterations: int) -> bool:
    """Whether an iteration of the training is a logging step: every so many, and the last one."""
    return iteration % logging_steps(iterations) == 0 or iteration == iterations


def logged_rows(iterations: int) -> int:
    """How many logging steps a training has.

    >>> logged_rows(160), logged_rows(161), logged_rows(3)
    (160, 81, 3)
    """
    return -(-iterations // logging_steps(iterations))

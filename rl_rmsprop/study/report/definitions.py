"""What the numbers of a report are, a sentence or two each; only of what the report holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl_rmsprop.step_sizes import StepSize
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.methods import arm_settings
from rl_rmsprop.study.report.overall import FIRST_EPISODES, Scale
from rl_rmsprop.study.results.runs import MOST_CHANGES
from rl_rmsprop.study.results.scores import PLATEAU, RUNNING
from rl_rmsprop.study.spec.study import Study

AVERAGES = (
    "Numbers are interquartile means (IQM) over seeds: the mean without the best and the worst quarter of the runs. In brackets: "
    "95 % percentile bootstrap intervals over whole runs. The bands of curves are the same, point by point."
)
MEAN_RETURN = (
    f"Mean return over training, the primary score: the mean return of the last {RUNNING} episodes, averaged over all "
    "environment steps of the training."
)
THRESHOLD = (
    f"Steps to the threshold: environment steps until the mean return of {PLATEAU} episodes reached it, median over runs; “>” if "
    "half of the runs never did; k/n: how many did. Optimality gap: by how much the final evaluation misses the threshold on "
    "average, runs above it counting 0."
)
COLLAPSED = (
    f"Collapsed: share of runs whose mean return of {PLATEAU} episodes fell, at some time, below half of its best gain over the "
    "first such mean (Wilson's interval). A change of the environment starts the best so far again."
)
DIFFERENCES = (
    "Difference: IQM of the arm minus IQM of the baseline; its interval resamples seeds, both arms' runs of a seed together. "
    "P(better): probability that a run of the arm beats one of the baseline, ties counting half. p: sign-flip test of the mean "
    "difference between runs of the same seed, two-sided; Holm: corrected for all arms of the environment."
)
SHIFTED = (
    "Returns are what the changed environment pays, and the final evaluation is in the environment as it is at the end. Dashed "
    "lines mark the changes of the first seed."
)
RESPONSES = (
    f"Drop: mean return of the last {RUNNING} episodes before a change minus that of the first {RUNNING} begun after it. "
    f"Recovery: environment steps until {RUNNING} episodes in a row earned 90 % of the level before again, median over runs. "
    "Regret: the level before minus the mean return of the last episodes, averaged over the steps until the next change. Not "
    f"shown with more than {MOST_CHANGES} changes."
)
DETECTORS = (
    "Detectors: an alarm within n updates after a true change is a hit. Delay: median updates from a change to the first alarm "
    "before the next change; “90 %”: updates within which 90 % of changes are answered. The last column counts alarms before the "
    "first change."
)
PICKED = (
    "The best arm was picked for its score: the correction allows for that in p, nothing does in its average. Confirm it on "
    "other seeds."
)
DRAWS = (
    "Mean return on the tuning seeds against lr and against the size of the updates: arms whose curves meet on the right differ "
    "in step size alone."
)
PHI = (
    "Scaled mean return of each arm's draws on the tuning seeds: the best draw of each environment, the draw that is best on "
    "average, and their difference Φ: what tuning for each environment alone gains (Adkins, Bowling and White 2024)."
)


def definitions(study: Study, analyses: Sequence[Analysis]) -> list[str]:
    """Sentences for the section on how to read the report."""
    options = study.options
    solved, shifting = any(not math.isnan(a.threshold) for a in analyses), bool(options.shift)
    final = f"Final evaluation: mean return of {options.eval_episodes} episodes of the greedy policy."
    corrected = "with" if options.bias_correction else "without"
    return [
        AVERAGES,
        f"{MEAN_RETURN} {final if options.eval_episodes else 'There was no final evaluation.'}",
        *([THRESHOLD] if solved else []),
        COLLAPSED,
        *([DIFFERENCES, PICKED] if len(study.arms) > 1 else []),
        *([f"Environments are made with {' and '.join(options.env_kwargs)}."] if options.env_kwargs else []),
        *([f"Around each environment: {', then '.join(options.wrapper)}."] if options.wrapper else []),
        *([f"The environment changes: {' and '.join(options.shift)}. {SHIFTED}", RESPONSES] if shifting else []),
        *(["Trained in the environments of EnvPool, evaluated in Gymnasium's."] if options.backend == "envpool" else []),
        *([DETECTORS] if options.record_signals and shifting else []),
        f"β rules run {corrected} bias correction, ε = {options.eps} outside the root.",
        *([steps(options.lr_rule, options.step_size)] if options.step_size is not None else []),
        *([NUMERATOR] if any(agent.clip == "numerator" for agent in study.agents) else []),
        *arm_settings(study),
    ]


NUMERATOR = "E sees gradients before clipping: max_grad_norm shortens steps alone (clip = numerator)."


def steps(lr_rule: str, rule: StepSize) -> str:
    """What decides how long steps are."""
    lr = f"; lr is a factor on its step, {rule.usual_lr:g} in the source" if rule.usual_lr is not None else ""
    return f"Steps of every arm are as long as {lr_rule} makes them ({rule.source}){lr}."


def scaling(scales: Sequence[Scale], analyses: Sequence[Analysis]) -> str:
    """How the returns of several environments were made comparable."""
    ends = "; ".join(
        f"{s.env_id} from {s.low:.1f} to {s.high:.1f} ({'solved' if s.is_solved else 'the best arm'})" for s in scales
    )
    without = [analysis.env_id for analysis in analyses if analysis.env_id not in [scale.env_id for scale in scales]]
    left_out = f"{', '.join(without)}: left out, no arm was clearly better than an untrained policy." if without else ""
    if len(scales) < 2:
        return f"Fewer than two environments can be compared. {left_out}"
    text = (
        f"Returns are scaled so that 0 is an untrained policy (the first {FIRST_EPISODES} episodes of all runs) and 1 is the "
        f"return that counts as solved, or the best arm's: {ends}. Averages are over all runs of all environments."
    )
    return f"{text} {left_out}".rstrip()

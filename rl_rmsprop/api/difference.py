"""Two arms of a study on the same seeds: the numbers of the report's comparison, for any pair."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rl_rmsprop.study.report.analysis import Analysis, VersusBaseline
from rl_rmsprop.study.report.findings import probability
from rl_rmsprop.study.results.metrics import metric_named
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.statistics.intervals import Interval, number


@dataclass(frozen=True)
class Difference:
    """How an arm `a` compares with an arm `b` in one environment."""

    env: str
    a: str
    b: str
    metric: str
    """Name of the score that is compared."""
    pairs: int
    """Seeds that both finished."""
    estimate: float
    """Interquartile mean of a's runs minus that of b's."""
    low: float
    high: float
    """Its 95 % interval, from a bootstrap over seeds; NaN with a single one."""
    p_better: float
    """Probability that a run of a is better than a run of b, ties counting half."""
    p: float
    """Two-sided, of the sign-flip test over the pairs; NaN with fewer than six, which can show nothing."""
    p_holm: float
    """p with Holm's correction over all arms of the study compared with b."""
    comparisons: int
    """How many those are."""
    text: str
    """All of it in a sentence."""

    def __repr__(self) -> str:
        return self.text

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval."""
        return self.low, self.high


def difference(analysis: Analysis, a: Arm, b: Arm, metric: str | None) -> Difference:
    """Arm a against arm b; ValueError unless both have a finished run with a score."""
    chosen = analysis.metric if metric is None else metric_named(metric)
    analysis = replace(analysis, metric=chosen, requested_baseline=b.text)
    if a == b:
        raise ValueError(f"a difference is one of two arms, got {a.text} twice")
    for arm in (a, b):
        if arm not in [result.arm for result in analysis.ranked]:
            raise ValueError(f"{arm.text} has no finished run with a {chosen.label} in {analysis.env_id} yet")
    versus = next(versus for versus in analysis.comparisons if versus.result.arm == a)
    compared = versus.comparison
    value, low, high = (float(x) for x in compared.difference)
    return Difference(
        analysis.env_id, a.text, b.text, chosen.name, compared.pairs, value, low, high, float(compared.improvement.value),
        compared.p, versus.p_holm, len(analysis.comparisons), sentence(analysis, versus, b),
    )  # fmt: skip


def sentence(analysis: Analysis, versus: VersusBaseline, b: Arm) -> str:
    """`cusum − β = 0.99 on CartPole-v1: mean return over training +12.3 [3.1, 20.5], …`."""
    compared, tests = versus.comparison, len(analysis.comparisons)
    gap = number(Interval(*compared.difference), sign=True, form=analysis.metric.form)
    text = f"{versus.result.arm.label} − {b.label} on {analysis.env_id}: {analysis.metric.label} {gap}"
    if compared.p != compared.p:
        tested = f"{compared.pairs} seeds in common are too few for a test"
    else:
        corrected = f", {probability(versus.p_holm)} corrected for {tests} comparisons" if tests > 1 else ""
        tested = f"p = {probability(compared.p)}{corrected}, {compared.pairs} seeds"
    better = f"a run of {versus.result.arm.label} is better with probability {number(compared.improvement, form='.2f')}"
    return f"{text}, {tested}; {better}"

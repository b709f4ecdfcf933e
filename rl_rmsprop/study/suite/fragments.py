"""numbers.md: the tables that a hand-written page includes, each between two comments.

```{include} numbers.md
:start-after: <!-- begin H1 -->
:end-before: <!-- end H1 -->
```
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from rl_rmsprop.study.report.document import Table
from rl_rmsprop.study.report.markdown import table
from rl_rmsprop.study.spec.seeds import parse_seeds
from rl_rmsprop.study.statistics.intervals import Interval, number, share
from rl_rmsprop.study.suite import families, summaries
from rl_rmsprop.study.suite.hypotheses import HYPOTHESES
from rl_rmsprop.study.suite.numbers import Numbers
from rl_rmsprop.study.suite.schema import FAILED
from rl_rmsprop.study.suite.suite import Suite
from rl_rmsprop.study.suite.versus import Answer, Versus

DASH = "–"


def render(suite: Suite, numbers: Numbers, command: str) -> str:
    """The whole file; `command` is what makes it again."""
    parts = ["<!-- Made by a program: do not edit. -->"]
    for name, source, text in fragments(suite, numbers):
        made = f"`{command}`, from {source}"
        parts.append(f"<!-- begin {name} -->\n\n{text}\n\n{made}\n\n<!-- end {name} -->")
    return "\n\n".join(parts) + "\n"


def fragments(suite: Suite, numbers: Numbers) -> Iterator[tuple[str, str, str]]:
    """Name, table behind it, and Markdown of every fragment that has something to say."""
    yield "extent", "tasks.csv and results.csv", table(extent(suite))
    yield "tasks", "tasks.csv", table(tasks_table(suite))
    for name in HYPOTHESES:
        answers = [answer for answer in numbers.answers if answer.hypothesis == name]
        compared = [row for row in numbers.comparisons if row.hypothesis == name]
        if answers:
            yield name, "tables/answers.csv", table(answers_table(answers))
        if compared:
            yield f"{name} comparisons", "tables/comparisons.csv", table(versus_table(compared))
    for over in suite.selections:
        if any(row.over == over for row in numbers.averages):
            yield f"averages {over}", "tables/averages.csv", table(averages_table(suite, numbers, over))
    for ranking in numbers.rankings:
        text = (
            f"Friedman's test over {ranking.tasks} tasks and {len(ranking.arms)} arms: χ² = {ranking.statistic:.1f}, "
            f"p = {ranking.p:.2g}. Mean ranks that differ by less than {ranking.critical_difference:.2f} are not told apart "
            "(Nemenyi)."
        )
        yield f"ranks {ranking.over}", "tables/ranks.csv", text
    rest = {
        "areas": ("tables/areas.csv", areas_table(suite, numbers)),
        "phi": ("tables/phi.csv", phi_table(suite, numbers)),
        "variance": ("tables/variance.csv", variance_table(numbers)),
        "survival": ("tables/survival.csv", survival_table(suite, numbers)),
        "delays": ("tables/delays.csv", delays_table(suite, numbers)),
    }
    for name, (source, rows) in rest.items():
        if rows.rows:
            yield name, source, table(rows)
    if numbers.foresights:
        correlation = number(summaries.foresight_correlation(numbers.foresights), sign=True, form=".2f")
        text = (
            f"Rank correlation over arms of QLIKE regret and normalised area, mean over tasks: {correlation}. Below 0: the rules "
            "that predict g² better earn more."
        )
        yield "foresight", "tables/foresight.csv", text


# Extent -------------------------------------------------------------------------------------------------------------------


def extent(suite: Suite) -> Table:
    """How much was done."""
    planned = sum(len(task.arms.split()) * seeds_in(task.seeds) for task in suite.tasks)
    failed = sum(run.status == FAILED for run in suite.results)
    steps = sum(suite.task[run.task].steps for run in suite.results) + sum(suite.task[row.task].steps for row in suite.draws)
    rows = [
        ("tasks", f"{len(suite.tasks):,}"),
        ("environments", f"{len({task.env for task in suite.tasks}):,}"),
        ("arms", f"{len(suite.arms):,}"),
        ("controls among them", f"{len(families.members(suite.arms, families.CONTROL)):,}"),
        ("runs on evaluation seeds", f"{len(suite.results):,} of {planned:,} planned"),
        ("failed ones among them", f"{failed:,}"),
        ("runs of the tuning", f"{len(suite.draws):,}"),
        ("environment steps of all runs", f"{steps:,}"),
    ]
    return Table(["what", "number"], rows)


def seeds_in(text: str) -> int:
    """How many seeds a text names."""
    return len(parse_seeds(text))


def tasks_table(suite: Suite) -> Table:
    """The tasks."""
    done = Counter(run.task for run in suite.results)
    rows = [
        [t.task, t.agent, t.env, t.kind, t.severity or DASH, f"`{t.shift}`" if t.shift else DASH, t.variant or DASH,
         f"{t.steps:,}", t.seeds, str(t.draws), f"{done[t.task]:,}"]
        for t in suite.tasks
    ]  # fmt: skip
    header = ["task", "agent", "environment", "kind", "severity", "shift", "variant", "steps", "seeds", "draws", "runs"]
    return Table(header, rows, words=7)


# Hypotheses ---------------------------------------------------------------------------------------------------------------


def answers_table(answers: Sequence[Answer]) -> Table:
    """What the data say on a hypothesis."""
    rows = [
        [a.question, a.quantity, three(a.estimate), f"{a.bar:g}", a.verdict, str(a.tasks)] for a in answers
    ]  # fmt: skip
    return Table(["question", "quantity", "estimate", "must exceed", "verdict", "tasks"], rows, words=2)


def versus_table(compared: Sequence[Versus]) -> Table:
    """Comparisons, the most often better first."""
    rows = [
        [v.over, v.arm, v.against, str(v.tasks), str(v.pairs), three(v.improvement), three(v.difference, sign=True),
         probability(v.p), probability(v.p_holm)]
        for v in sorted(compared, key=lambda v: -v.improvement.value)
    ]  # fmt: skip
    return Table(["tasks that are", "arm", "against", "tasks", "pairs", "P(better)", "difference", "p", "p, Holm"], rows, words=3)


def three(interval: Interval, sign: bool = False) -> str:
    """An interval with three decimals."""
    return number(interval, sign=sign, form=".3f")


def probability(p: float) -> str:
    """A p-value.

    >>> probability(0.0321), probability(0.00001), probability(math.nan)
    ('0.032', '< 0.001', '–')
    """
    return DASH if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"


# Arms ---------------------------------------------------------------------------------------------------------------------


def averages_table(suite: Suite, numbers: Numbers, over: str) -> Table:
    """Arms over a selection."""
    rows = [row for row in numbers.averages if row.over == over]
    cells = [
        [suite.arms[r.arm].label, r.family, str(r.tasks), f"{r.runs:,}", str(r.failed), three(r.iqm), three(r.mean_of_tasks),
         DASH if math.isnan(r.rank) else f"{r.rank:.1f}"]
        for r in rows
    ]  # fmt: skip
    header = ["arm", "family", "tasks", "runs", "failed", "IQM over runs × tasks", "mean of the tasks' IQMs", "mean rank"]
    return Table(header, cells, words=2)


def areas_table(suite: Suite, numbers: Numbers) -> Table:
    """Areas under the curves over lr, of all tasks."""
    rows = sorted((row for row in numbers.areas if row.over == "all"), key=lambda row: -row.area.value)
    cells = [[suite.arms[row.arm].label, str(row.tasks), three(row.area)] for row in rows]
    return Table(["arm", "tasks", "area under the curve over ln lr"], cells)


def phi_table(suite: Suite, numbers: Numbers) -> Table:
    """Φ."""
    cells = [
        [row.group, suite.arms[row.arm].label, *(f"{x:.3f}" for x in (row.tuned_for_each, row.one_for_all, row.phi))]
        for row in sorted(numbers.phis, key=lambda row: (row.group, -row.one_for_all))
    ]
    return Table(["tasks", "arm", "tuned for each task", "one draw for all", "Φ"], cells, words=2)


def variance_table(numbers: Numbers) -> Table:
    """Shares of the variance."""
    cells = [[p.group, p.arms, p.term, str(p.degrees), three(p.share), f"{p.corrected:.3f}"] for p in numbers.parts]
    return Table(["tasks", "arms", "term", "degrees of freedom", "share", "without noise"], cells, words=3)


def survival_table(suite: Suite, numbers: Numbers) -> Table:
    """Survivors of abrupt changes, all tasks together, the fewest losses first."""
    tasks = set(suite.selections.get("abrupt", []))
    counts: dict[str, list[int]] = {}
    for row in (row for row in numbers.survivals if row.task in tasks):
        of_arm = counts.setdefault(row.arm, [0, 0])
        of_arm[0] += row.survivors
        of_arm[1] += row.runs
    shares = {arm: share(*of_arm) for arm, of_arm in counts.items() if of_arm[1]}
    order = sorted(shares, key=lambda arm: -float(shares[arm].value))
    cells = [[suite.arms[arm].label, f"{counts[arm][0]}/{counts[arm][1]}", three(shares[arm])] for arm in order]
    return Table(["arm", "survivors of abrupt changes", "share"], cells)


def delays_table(suite: Suite, numbers: Numbers) -> Table:
    """Arms with alarms over tasks: mean over tasks of the share of changes that are answered and of the rank correlation."""
    by_arm: dict[str, list] = {}
    for row in numbers.delays:
        by_arm.setdefault(row.arm, []).append(row)
    cells = []
    for arm, rows in by_arm.items():
        known = [float(row.correlation.value) for row in rows if not math.isnan(row.correlation.value)]
        correlation = summaries.mean_interval(np.array(known))
        hits = float(np.mean([row.hits for row in rows]))
        cells.append([suite.arms[arm].label, str(len(rows)), f"{hits:.0%}", number(correlation, sign=True, form=".2f")])
    return Table(["arm", "tasks", "changes with an alarm", "rank correlation of delay and recovery"], cells)

"""The hypotheses of the reference study, each a function from the tables to answers with an interval and a verdict.

    H1  on tasks that change, the best adaptive rule beats the best fixed β          P(better) > 0.5
    H2  on tasks that do not, it is not worse                                        difference > −0.02
    H3  timing matters: a detector beats its random, yoked and mean-β controls       P(better) > 0.5, of all three
    H4  direction matters: E that rises at once beats E that falls at once           P(better) > 0.5; area over lr > 0
    H5  forgetting by policy movement or by samples beats forgetting by updates      P(better) > 0.5
    H6  lr matters more than β                                                       share of lr − share of β > 0
    H7  rules whose E rises at once, or that forget by policy movement, lose fewer runs in an abrupt change      difference > 0

"The best" of a family in a task is the arm whose best draw scored most on the tuning seeds: no evaluation seed has a say in who
represents it. The first answer of a hypothesis is the one that decides; the others say how far it depends on the choices made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rl_rmsprop import grammar
from rl_rmsprop.study.suite import families, responses, sensitivity
from rl_rmsprop.study.suite.families import ADAPTIVE, FIXED, SCHEDULE
from rl_rmsprop.study.suite.suite import Suite
from rl_rmsprop.study.suite.versus import Answer, Choice, Versus, always, compare, corrected

MARGIN = -0.02
"""By how much a normalised score may be worse and count as not worse."""
CONTROLS = ("random", "yoked", "mean_beta")
UNTOUCHED = 0.99
"""torch's default β."""
FIXED_OF_EACH = "best fixed β of each task"
P_BETTER, DIFFERENCE = "P(better), mean over tasks", "difference of normalised areas, mean over tasks"


class Findings(NamedTuple):
    """What one hypothesis comes to."""

    answers: list[Answer]
    comparisons: list[Versus]
    """The comparisons behind them, with Holm's correction."""


def best(suite: Suite, tasks: Sequence[str], *names: str) -> Choice:
    """Task → its best arm of these families, chosen on the tuning seeds."""
    return best_arm(suite, tasks, families.members(suite.arms, *names))


def best_arm(suite: Suite, tasks: Sequence[str], arms: Sequence[str]) -> Choice:
    """Task → the best of these arms there, chosen on the tuning seeds."""
    chosen = {task: suite.best_of(task, arms) for task in tasks}
    return {task: arm for task, arm in chosen.items() if arm is not None}


def one_for_all(suite: Suite, tasks: Sequence[str], *names: str) -> tuple[str, Choice]:
    """The arm of these families that is best over all tasks, chosen on the tuning seeds, in every task; its text."""
    arm = suite.best_over(tasks, families.members(suite.arms, *names))
    return arm or "", always(tasks, arm) if arm else {}


def better(hypothesis: str, question: str, versus: Versus) -> Answer:
    """The answer by the probability of improvement."""
    return Answer.of(hypothesis, question, P_BETTER, versus.improvement, 0.5, versus.tasks)


# H1, H2 -------------------------------------------------------------------------------------------------------------------


def h1(suite: Suite) -> Findings:
    """Whether the best adaptive rule beats the best fixed β where the environment changes; then other choices, and every rule."""
    tasks, answers = suite.shifted, []
    changing = Rivals("best changing β of each task, schedules included", FIXED_OF_EACH, best(suite, tasks, *ADAPTIVE, SCHEDULE),
                      best(suite, tasks, FIXED))  # fmt: skip
    for rivals in (*adaptive_and_fixed(suite, tasks), changing):
        versus = compare(suite, "H1", "shifted", *rivals)
        if versus is not None:
            answers.append(better("H1", f"shifted tasks: {rivals.arm} against {rivals.against}", versus))
            answers.append(Answer.of("H1", "the same pair: by how much", DIFFERENCE, versus.difference, 0.0, versus.tasks))
    return Findings(answers, every_rule(suite, "H1", "shifted", tasks))


def h2(suite: Suite) -> Findings:
    """Whether the best adaptive rule is not worse than the best fixed β where nothing changes."""
    tasks, answers = suite.stationary, []
    for rivals in adaptive_and_fixed(suite, tasks):
        versus = compare(suite, "H2", "stationary", *rivals)
        if versus is not None:
            question = f"stationary tasks: {rivals.arm} not worse than {rivals.against}"
            answers.append(Answer.of("H2", question, DIFFERENCE, versus.difference, MARGIN, versus.tasks))
    return Findings(answers, every_rule(suite, "H2", "stationary", tasks))


class Rivals(NamedTuple):
    """Two that are compared, as `compare` takes them: their names, and who stands for them in each task."""

    arm: str
    against: str
    x: Choice
    y: Choice


def adaptive_and_fixed(suite: Suite, tasks: Sequence[str]) -> list[Rivals]:
    """Adaptive rules against fixed βs: the best of each task, then the best over all tasks."""
    one, of_one = one_for_all(suite, tasks, *ADAPTIVE)
    other, of_other = one_for_all(suite, tasks, FIXED)
    return [
        Rivals("best adaptive rule of each task", FIXED_OF_EACH, best(suite, tasks, *ADAPTIVE), best(suite, tasks, FIXED)),
        Rivals(f"best adaptive rule over all tasks ({one})", f"best fixed β over all tasks ({other})", of_one, of_other),
    ]


def every_rule(suite: Suite, hypothesis: str, over: str, tasks: Sequence[str]) -> list[Versus]:
    """Every rule whose β changes against the best fixed β of each task, with Holm's correction."""
    fixed = best(suite, tasks, FIXED)
    rules = families.members(suite.arms, *ADAPTIVE, SCHEDULE)
    rows = [compare(suite, hypothesis, over, arm, FIXED_OF_EACH, always(tasks, arm), fixed) for arm in rules]
    return corrected([row for row in rows if row is not None])


# H3 -----------------------------------------------------------------------------------------------------------------------


def h3(suite: Suite) -> Findings:
    """Whether each detector beats its controls; its answer is that of the control that it beats least."""
    tasks, answers, rows = suite.shifted, [], []
    for arm in families.members(suite.arms, families.DETECTOR):
        controls = families.controls_of(arm, suite.arms, (*CONTROLS, "oracle"))
        against = [compare(suite, "H3", "shifted", arm, c, always(tasks, arm), always(tasks, c)) for c in controls]
        known = [row for row in against if row is not None]
        rows += known
        tested = [row for row in known if not row.against.startswith("oracle")]
        if tested:
            weakest = min(tested, key=lambda row: float(row.improvement.low))
            answers.append(better("H3", f"{arm} against each of its controls (hardest: {weakest.against})", weakest))
    return Findings(answers, corrected(rows))


# H4 -----------------------------------------------------------------------------------------------------------------------


def h4(suite: Suite) -> Findings:
    """Whether E that rises sooner than it falls beats the reverse: at the tuned lr, and over the whole range of lr."""
    tasks = suite.selections.get("all", [])
    rising = [text for text, arm in suite.arms.items() if families.rises_first(arm)]
    falling = [text for text, arm in suite.arms.items() if families.falls_first(arm)]
    answers: list[Answer] = []
    for over, some in (("shifted", suite.shifted), ("stationary", suite.stationary)):
        x, y = best_arm(suite, some, rising), best_arm(suite, some, falling)
        versus = compare(suite, "H4", over, "best rise < fall", "best rise > fall or ano", x, y)
        if versus is not None:
            answers.append(better("H4", f"{over} tasks, tuned lr: best rise < fall against best rise > fall or ano", versus))
    for arm in rising:
        estimate = sensitivity.area_difference(suite, tasks, arm, falling)
        answers.append(Answer.of(
            "H4", f"all lr: {arm} against the reverse with the largest area", "difference of areas under the curve over ln lr",
            estimate, 0.0, len(tasks),
        ))  # fmt: skip
    pairs = [(arm, other) for arm in rising for other in falling]
    rows = [compare(suite, "H4", "all", arm, other, always(tasks, arm), always(tasks, other)) for arm, other in pairs]
    return Findings(answers, corrected([row for row in rows if row is not None]))


# H5 -----------------------------------------------------------------------------------------------------------------------


def h5(suite: Suite) -> Findings:
    """Whether forgetting by policy movement, or by samples, beats forgetting by updates: the best fixed β, and 0.99."""
    answers, rows = [], []
    untouched = [text for text in suite.arms if grammar.number(text) == UNTOUCHED]
    for name in ("policy", "samples"):
        arms = [text for text, arm in suite.arms.items() if families.clock(arm) == name]
        for over, tasks in (("shifted", suite.shifted), ("stationary", suite.stationary)):
            rivals = [(FIXED_OF_EACH, best(suite, tasks, FIXED))]
            rivals += [(f"β = {text}", always(tasks, text)) for text in untouched]
            for against, y in rivals:
                title = f"forgetting by {'policy movement' if name == 'policy' else name}"
                versus = compare(suite, "H5", over, title, against, best_arm(suite, tasks, arms), y)
                if versus is not None:
                    rows.append(versus)
                    answers.append(better("H5", f"{over} tasks: {title} against {against}", versus))
    return Findings(answers, corrected(rows))


# H6 -----------------------------------------------------------------------------------------------------------------------


def h6(suite: Suite) -> Findings:
    """Whether lr explains more of the variance of the draws' scores than β does; then than the rule does, over all arms."""
    answers = []
    tables = sensitivity.variance_tables(suite, tuple(suite.selections.get("all", [])))
    for which, what in (("fixed", "β, of fixed βs"), ("all", "the rule, of all arms")):
        for (group, arms), table in tables.items():
            if arms == which:
                question = f"{group}: lr explains more than {what}"
                quantity = "share of the variance of lr and task×lr, minus that of rule and task×rule"
                answers.append(Answer.of("H6", question, quantity, sensitivity.lr_over_rule(table), 0.0, len(table.y)))
    return Findings(answers, [])


# H7 -----------------------------------------------------------------------------------------------------------------------


def h7(suite: Suite) -> Findings:
    """Whether rules that should protect lose fewer runs in an abrupt change than fixed βs do: all of them, each, at every lr."""
    tasks, swept = suite.selections.get("abrupt", []), [task for task in suite.swept if suite.task[task].kind == "abrupt"]
    protecting = [text for text, arm in suite.arms.items() if families.protects(arm)]
    falling = [text for text, arm in suite.arms.items() if families.falls_first(arm)]
    fixed = families.members(suite.arms, FIXED)
    best_fixed = {task: [arm] for task, arm in best(suite, tasks, FIXED).items()}
    pooled = "rules whose E rises at once or that forget by policy movement, against all fixed βs"
    questions = [
        (f"abrupt tasks: {pooled}", protecting, dict.fromkeys(tasks, fixed)),
        *((f"abrupt tasks: {arm} against the best fixed β of each task", [arm], best_fixed) for arm in protecting),
        *((f"abrupt tasks: {arm}, the reverse, against the best fixed β of each task", [arm], best_fixed) for arm in falling),
        (f"abrupt tasks, the same lr for all arms, mean over lrs: {pooled}", protecting, dict.fromkeys(swept, fixed)),
    ]
    return Findings([survival(suite, *question) for question in questions if question[2]], [])


def survival(suite: Suite, question: str, arms: Sequence[str], others: Mapping[str, Sequence[str]]) -> Answer:
    """The answer by the share of survivors of some arms and of `others` [task]."""
    estimate = responses.survival_difference(suite, arms, others)
    quantity = "difference of the shares of survivors, mean over tasks"
    return Answer.of("H7", question, quantity, estimate, 0.0, len(others))


HYPOTHESES: dict[str, Callable[[Suite], Findings]] = {"H1": h1, "H2": h2, "H3": h3, "H4": h4, "H5": h5, "H6": h6, "H7": h7}
"""Name → what answers it."""


def answer_all(suite: Suite) -> Findings:
    """All of them."""
    found = [answer(suite) for answer in HYPOTHESES.values()]
    return Findings([a for f in found for a in f.answers], [c for f in found for c in f.comparisons])

"""What a replay says: a sentence an arm and environment, what to beware of, detectors, β rules, what the columns mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.replay.scores import TOO_LOUD, DetectorScore, RuleScore, Scores, rank
from rl_rmsprop.study.report.document import Block, Cautions, Code, Contents, Heading, Items, Paragraph, Picture, Table
from rl_rmsprop.study.results import detection
from rl_rmsprop.study.spec.arms import Arm

DASH = "–"
FEW = 10
"""Changes, or expected alarms, below which shares and rates are rough."""
FILES = (
    ("replay_detectors.csv", "a row a detector"),
    ("replay_rules.csv", "a row a β rule"),
    ("report.html", "the study's report"),
)

Labels = Mapping[str, str]
"""An arm's text → what tables call it."""


def content(all_scores: Sequence[Scores], labels: Labels, command: str) -> list[Block]:
    """All blocks of the page."""
    blocks: list[Block] = [Paragraph(finding(scores, labels), "finding") for scores in all_scores]
    blocks += [Cautions(items)] if (items := cautions(all_scores, labels)) else []
    blocks += [Contents(FILES), Heading("Detectors"), Paragraph(how_compared(all_scores[0]))]
    for scores in (scores for scores in all_scores if scores.detectors):
        blocks += [Heading(place(scores, labels), 3), detector_table(scores), Picture(figure_name(scores), caption(scores))]
    blocks += [Heading("β rules"), Paragraph(FORECAST)]
    for scores in all_scores:
        blocks += [Heading(place(scores, labels), 3), rule_table(scores)]
    return [*blocks, Heading("What the columns mean"), Items(columns(all_scores)), Heading("How it was made"), Code(command)]


def place(scores: Scores, labels: Labels) -> str:
    """Which arm and environment."""
    return f"{scores.recording.env_id}, trained with {labels.get(scores.recording.arm, scores.recording.arm)}"


def figure_name(scores: Scores) -> str:
    """The name of a figure's files without ending."""
    return f"{env_folder(scores.recording.env_id)}_replay_{Arm(scores.recording.arm).name}"


def caption(scores: Scores) -> str:
    """What the figure shows."""
    best = scores.detectors[0]
    dashed = " Dashed: true changes." if scores.recording.is_shifted else ""
    signal = readable(best.signal).capitalize()
    return f"{signal} of the first runs and the alarms of {best.detector}; below, g² and its mean E.{dashed}"


# The finding ----------------------------------------------------------------------------------------------------------


def finding(scores: Scores, labels: Labels) -> str:
    """One sentence: which detectors found the changes, and which rule forecast g² best."""
    return f"{place(scores, labels)}: {detectors_sentence(scores)}; {rules_sentence(scores.rules)}."


def detectors_sentence(scores: Scores) -> str:
    """Which detectors found most changes within 50 updates, beside alarms at regular times."""
    if not scores.detectors:
        return f"no {readable(scores.signal)} was recorded, so no detector ran"
    *compared, regular = scores.detectors
    changes = regular.quality.changes
    if not changes:
        return "the environment did not change, so there was nothing to detect"
    compared = [score for score in compared if score.unshifted_rate <= TOO_LOUD * scores.wanted]
    if not compared:
        return f"no detector could be tuned to {scores.wanted:g} alarms per 1000 updates"
    best, by_chance = compared[0].quality, regular.quality.hits[1]
    within = f"within {detection.WITHIN[1]} updates"
    if not best.hits[1]:
        return f"no detector found {'the only change' if changes == 1 else f'any of {changes} changes'} {within}"
    tied = [score for score in compared if rank(scores.wanted, score) == rank(scores.wanted, compared[0])]
    relation = "more than" if best.hits[1] > by_chance else "as many as" if best.hits[1] == by_chance else "fewer than"
    delay = f", in the median after {best.delay_median:.0f} ({regular.quality.delay_median:.0f})" if best.hits[1] > 0.5 else ""
    return (
        f"{names(tied)} found {best.hits[1]:.0%} of {changes} changes {within}, {relation} alarms at regular times "
        f"({by_chance:.0%}){delay}"
    )


def names(scores: Sequence[DetectorScore]) -> str:
    """Detectors with their signals: `cusum and ewma on the surprise`, in the order given."""
    signals = list(dict.fromkeys(score.signal for score in scores))
    of = {signal: [score.detector for score in scores if score.signal == signal] for signal in signals}
    return enumerated([f"{enumerated(detectors)} on the {readable(signal)}" for signal, detectors in of.items()])


def enumerated(words: Sequence[str]) -> str:
    """Words in a sentence.

    >>> enumerated(["a"]), enumerated(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def rules_sentence(scores: Sequence[RuleScore]) -> str:
    """Which rule forecast g² best, beside the best fixed β in hindsight."""
    above = scores[0].above_best
    best = [score.rule for score in scores if f"{score.above_best:.3f}" == f"{above:.3f}"]
    relation = "above" if above > 0 else "below"
    distance = f"{abs(above):.3f} {relation} the best fixed β in hindsight (smaller is better)"
    return f"of {len(scores)} β rules {enumerated(best)} forecast g² best, with a score {distance}"


def readable(signal: str) -> str:
    """A signal's name as words.

    >>> readable("episode_return")
    'episode return'
    """
    return signal.replace("_", " ")


# What to beware of ----------------------------------------------------------------------------------------------------


def cautions(all_scores: Sequence[Scores], labels: Labels) -> list[str]:
    """What makes the numbers weaker than they look; what holds for several arms is said once."""
    places: dict[str, list[str]] = {}
    for scores in all_scores:
        for caution in cautions_of(scores):
            places.setdefault(caution, []).append(place(scores, labels))
    everywhere = len(all_scores) if len(all_scores) > 1 else 0
    return [
        text if len(where) == everywhere else f"{'; '.join(where)}: {text[0].lower()}{text[1:]}" for text, where in places.items()
    ]


def cautions_of(scores: Scores) -> list[str]:
    """The same of one arm in one environment."""
    if not scores.detectors:
        return [f"No {readable(scores.signal)} was recorded; --signal grad_norm is recorded for every optimizer."]
    texts: list[str] = []
    if scores.recording.is_shifted and not scores.has_twin:
        texts.append("Detectors are tuned on the updates before the first change alone; --twins has more.")
    expected = scores.wanted * scores.unshifted_updates / 1000
    if expected < FEW:
        texts.append(
            f"{scores.unshifted_updates} updates without a change make {expected:.1f} alarms at the wanted rate, too few to tune "
            "a detector well; give more --seeds or --steps, or a higher --rate."
        )
    changes = scores.detectors[-1].quality.changes
    if 0 < changes < FEW:
        texts.append(f"Shares of {changes} changes move in steps of {1 / changes:.0%}; give more --seeds.")
    off = [f"{s.detector} ({s.unshifted_rate:.2f})" for s in scores.detectors if is_off(s.unshifted_rate, scores.wanted)]
    if off:
        texts.append(f"Not at {scores.wanted:g} alarms per 1000 updates, so not comparable with the others: {', '.join(off)}.")
    return texts


def is_off(rate: float, wanted: float) -> bool:
    """Whether a rate of alarms is too far from the wanted one for a comparison."""
    return not 1 / TOO_LOUD <= rate / wanted <= TOO_LOUD


# Tables ---------------------------------------------------------------------------------------------------------------


RATE_COLUMN, SCALE_COLUMN = "alarms per 1000", "near a change of scale"
HIT_COLUMNS = tuple(f"found within {n}" for n in detection.WITHIN)
DELAY_COLUMNS = ("median delay", "90 % delay")


def detector_table(scores: Scores) -> Table:
    """A row a detector, best first; columns without a number are left out."""
    header = ["detector", "signal", RATE_COLUMN, SCALE_COLUMN, *HIT_COLUMNS, *DELAY_COLUMNS]
    rows = [detector_row(score) for score in scores.detectors]
    shown = [i for i in range(len(header)) if any(row[i] != DASH for row in rows)]
    return Table([header[i] for i in shown], [[row[i] for i in shown] for row in rows], words=2)


def detector_row(score: DetectorScore) -> list[str]:
    """The cells of one detector."""
    quality = score.quality
    hits = [percent(hit) for hit in quality.hits]
    delays = [f"{d:.0f}" if math.isfinite(d) else "never" if d == math.inf else DASH for d in quality[2:]]
    signal, share = readable(score.signal), percent(score.share_at_scale_changes)
    return [score.detector, signal, f"{score.unshifted_rate:.2f}", share, *hits, *delays]


def percent(share: float) -> str:
    """A share, a dash where there is none."""
    return DASH if math.isnan(share) else f"{share:.0%}"


def rule_table(scores: Scores) -> Table:
    """A row a rule, best first."""
    rows = [[score.rule, f"{score.above_best:+.3f}", f"{score.share_better:.0%}"] for score in scores.rules]
    return Table(["β rule", "score above the best fixed β", "runs in which it is better"], rows)


# Explanations ---------------------------------------------------------------------------------------------------------

FORECAST = (
    "Every rule ran over a recorded sample of g², and its E was scored as a forecast of the next g². It says how well a rule "
    "remembers, not how well an agent learns with it."
)


def how_compared(scores: Scores) -> str:
    """What was done with the detectors."""
    before = "the updates before the first change" if scores.recording.is_shifted else "the recording"
    where = "the same study without --shift" if scores.has_twin else before
    return (
        f"Every detector ran over recorded signals, made as sensitive as {scores.wanted:g} alarms per 1000 updates of {where}: "
        "all of them raise false alarms equally often, and differ in what they find."
    )


def columns(all_scores: Sequence[Scores]) -> list[str]:
    """What the columns mean; only of those that a table has."""
    shown = {name for scores in all_scores if scores.detectors for name in detector_table(scores).header}
    explained = {
        "signal": SIGNAL,
        RATE_COLUMN: RATE,
        SCALE_COLUMN: SCALE,
        HIT_COLUMNS[0]: HITS,
        DELAY_COLUMNS[0]: DELAY,
    }
    return [text for name, text in explained.items() if name in shown] + [ABOVE, BETTER]


SIGNAL = (
    "Signal: what the detector listens to. The first detector also runs on the episode return, and the row “every k updates” is "
    "an alarm at regular times, which looks at nothing: a detector worth having beats it."
)
RATE = "Alarms per 1000: alarms per 1000 updates where the environment is the same, after tuning."
SCALE = (
    f"Near a change of scale: share of those alarms within {detection.NEAR} updates of a lasting change of the gradient's "
    "length, located afterwards in the whole recording. Learning alone makes such changes: these alarms are not quite false."
)
HITS = (
    f"Found within {', '.join(map(str, detection.WITHIN))}: share of the true changes of the environment, over all runs, that an "
    "alarm follows within so many optimizer updates, and before the next change."
)
DELAY = (
    "Median delay, 90 % delay: optimizer updates from a change to the first alarm, in the middle of all changes and for nine "
    "tenths of them; “never” where fewer changes than that are followed by an alarm."
)
ABOVE = (
    "Score above the best fixed β: mean of ln Ê + min(g²/Ê, 20), less that of the β from 0.3 to 0.9995 that turned out best for "
    "the run. Smaller is better; below 0 the rule beats what no fixed β could have done."
)
BETTER = "Runs in which it is better: share of runs with a score below 0."

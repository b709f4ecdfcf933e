"""How the arms came by their settings: sentences, from the study alone."""

from __future__ import annotations

from rl_rmsprop.study.spec import search_space
from rl_rmsprop.study.spec.seeds import written_seeds
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.tuning import draws, matching

CONTROLS = {
    "oracle": "is alarmed at the true changes of the environment",
    "yoked": "is alarmed when its arm was, in the run with the next seed",
    "random": "is alarmed at random updates, as often as its arm was on average",
    "mean_beta": "has one fixed β, the mean of its arm's",
}
"""Kind of control → what it does instead of listening to its own gradients."""


def arm_settings(study: Study) -> list[str]:
    """How lr and open keys were chosen, what was chosen, and what each kind of control is."""
    return [*how_chosen(study), *chosen(study), *controls(study)]


def how_chosen(study: Study) -> list[str]:
    """Whether arms were tuned or matched, and with which budget."""
    lrs = ", ".join(f"{agent.lr:g}" for agent in study.agents)
    seeds = written_seeds(study.tune_seeds)
    if study.tune:
        low, high, _ = search_space.LR
        arms = [arm.text for arm in study.arms]
        scaled = ", ".join(f"{name} × {factor:g}" for name, factor in search_space.LR_SCALE.items() if name in arms)
        return [
            f"Every arm was tuned with {study.tune} draws on seeds {seeds}: lr from {low:g} to {high:g} times {lrs}"
            + (f" ({scaled})" if scaled else "")
            + ", and the keys that its text leaves open. The draw with the largest IQM of the mean return was trained on fresh "
            "seeds, which alone are in the tables; tuning.csv has every draw, study.json the ranges."
        ]
    if study.match_update_rms:
        return [
            f"Every arm's lr was scaled, in {matching.ROUNDS} rounds of pilot runs on seeds {seeds}, so that the root mean "
            f"square of its updates is that of {study.match_update_rms} at lr {lrs}: what is left is not a matter of step size. "
            f"{matching.FILE} has the sizes."
        ]
    return [f"All arms share every setting of the agent; lr = {lrs}."]


def chosen(study: Study) -> list[str]:
    """What each arm trained with in each environment, where that is not what its text and the preset say."""
    texts, labels = [], {arm.text: arm.label for arm in study.arms}
    for choice in study.choices:
        edge = study.tune and "@" not in choice.arm and draws.at_the_edge(study, choice)
        warning = ", at the edge of the range: a better lr may lie beyond" if edge else ""
        rule = "" if choice.rule == choice.arm or choice.rule.startswith("yoked:") else f" as {choice.rule}"
        texts.append(f"{choice.env_id}: {labels[choice.arm]} trained{rule} with lr {choice.lr:g}{warning}.")
    return texts


def controls(study: Study) -> list[str]:
    """What each kind of control in the study is."""
    kinds = dict.fromkeys(arm.control_kind for arm in study.arms if arm.control_of)
    texts = [f"{kind}@ARM {CONTROLS[kind]}" for kind in kinds]
    return [f"Controls train with the lr and the keys of their arm: {'; '.join(texts)}."] if texts else []

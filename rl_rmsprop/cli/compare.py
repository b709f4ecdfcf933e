"""`rl-rmsprop compare`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from rl_rmsprop.cli import running, study_file
from rl_rmsprop.cli.options import ReportOptions, RunOptions, Settings, WorkerOptions


@dataclass(frozen=True)
class Compare:
    """Compare arms over the same seeds and report: the main job."""

    study: Annotated[Path | None, Positional, arg(metavar="[STUDY.toml]", help_behavior_hint="")] = None
    """Study file: what these options say, in TOML; options win over it."""
    env: Annotated[tuple[str, ...], arg(metavar="ID [ID ...]", help_behavior_hint="(needed)")] = ()
    """Gymnasium ids of the environments."""
    betas: Annotated[tuple[str, ...], arg(metavar="RULE [RULE ...]", help_behavior_hint="")] = ()
    """β rules, such as 0.9 0.99 linear:start=0.5,end=0.99 cusum:arl=50000,max=0.99, and controls of them, such as yoked@cusum."""
    baselines: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="")] = ()
    """Optimizers of torch to compare with: sgd, momentum, adagrad, rmsprop, adam, amsgrad, adamax."""
    controls: bool = False
    """Add every control that fits an adaptive arm: oracle, yoked, random, mean_beta."""
    tune: int = 0
    """Draws of lr and open keys for every arm; the best is evaluated on --seeds."""
    match_update_rms: Annotated[str | None, arg(metavar="RULE", help_behavior_hint="")] = None
    """Scale every arm's lr so that its updates are as large as those of this arm."""
    tune_seeds: str = "100000-100004"
    """Seeds of the runs that --tune and --match-update-rms look at."""
    print_config: bool = False
    """Print the study file of all this instead of running it."""
    report: OmitArgPrefixes[ReportOptions] = ReportOptions()
    run: OmitArgPrefixes[RunOptions] = RunOptions()
    settings: OmitArgPrefixes[Settings] = Settings()
    workers: OmitArgPrefixes[WorkerOptions] = WorkerOptions()

    @classmethod
    def begin(cls, words: Sequence[str]) -> tuple[Compare, list[str]]:
        """The options that the study file among the words gives, and the words without it."""
        files = [word for i, word in enumerate(words) if is_study_file(word, words[:i])]
        if len(files) > 1:
            raise ValueError(f"compare takes one study file, got {' and '.join(files)}: environments are given with --env")
        if not files:
            return cls(), list(words)
        file = study_file.read(Path(files[0]), cls)
        groups = {group: part_of(file.options, kind) for group, kind in GROUPS.items()}
        of_groups = {f.name for kind in GROUPS.values() for f in fields(kind)}
        own = {name: value for name, value in file.options.items() if name not in of_groups}
        return cls(study=file.path, **groups, **own), [word for word in words if word not in files]

    def __call__(self) -> int:
        study = self.described()
        if self.print_config:
            print(study_file.written(study, self.report), end="")
            return 0
        return running.begin(study, self.run.overwrite, self.workers, self.report)

    def described(self) -> Any:
        """The study that options and study file describe; ValueError for whatever cannot be run."""
        from rl_rmsprop.study.spec import controls, presets
        from rl_rmsprop.study.spec.folders import default_folder, own_folder
        from rl_rmsprop.study.spec.seeds import parse_seeds
        from rl_rmsprop.study.spec.study import Study

        run = self.run
        if not self.env:
            raise ValueError("an environment is needed: --env CartPole-v1; rl-rmsprop envs lists the known ones")
        if not (self.betas or self.baselines):
            raise ValueError("at least one arm is needed: --betas 0.9 0.99 …; rl-rmsprop rules lists them")
        options = run.training()
        seeds = parse_seeds(run.seeds)
        arms = controls.make_arms(self.betas, self.baselines, len(seeds), bool(run.shift), self.controls)
        file = study_file.read(self.study, type(self)) if self.study else study_file.StudyFile(Path())
        typed = {name: value for name, value in vars(self.settings).items() if value is not None}
        agents = tuple(presets.make_agent(run.agent, env_id, {**file.settings_in(env_id), **typed}) for env_id in self.env)
        reference = controls.find_arm(self.match_update_rms, arms, "match_update_rms").text if self.match_update_rms else ""
        if run.out:
            folder = own_folder(run.out)
        else:
            chosen_by = [*([f"tune{self.tune}"] if self.tune else []), *(["matched"] if reference else [])]
            folder = default_folder(self.env, arms, seeds, options, chosen_by)
        if "," in str(folder) and any(arm.control_kind == "yoked" for arm in arms):
            raise ValueError(f"yoked arms have the study's folder in their rule, got {folder}: choose an --out without a comma")
        study = Study(
            folder, self.env, agents, arms, seeds, options, shlex.join(["rl-rmsprop", *sys.argv[1:]]), self.tune,
            tune_seeds=parse_seeds(self.tune_seeds) if self.tune or reference else (), match_update_rms=reference,
        )  # fmt: skip
        study.check_environments()
        return study


GROUPS: dict[str, Any] = {"report": ReportOptions, "run": RunOptions}
"""Groups of options that a study file may set."""


def part_of(options: dict[str, Any], kind: type[Any]) -> Any:
    """The group of this type with those of the options that are its own."""
    return kind(**{f.name: options[f.name] for f in fields(kind) if f.name in options})


def is_study_file(word: str, before: Sequence[str]) -> bool:
    """Whether a word names the study file: one that ends so, or that no option stands before."""
    return not word.startswith("-") and (word.endswith(".toml") or not any(other.startswith("-") for other in before))

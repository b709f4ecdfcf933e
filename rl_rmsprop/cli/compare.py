"""`rl-rmsprop compare`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rl_rmsprop.cli import running, study_file
from rl_rmsprop.cli.fields import declared, option, value_of, with_values
from rl_rmsprop.cli.options import ReportOptions, RunOptions, Settings, WorkerOptions
from rl_rmsprop.cli.output import reporting_hangs
from rl_rmsprop.cli.study_file import StudyFile, place
from rl_rmsprop.study.spec import env_kwargs
from rl_rmsprop.study.spec.names import BASELINE_NAMES, check_baseline
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import Agent, make_agent
from rl_rmsprop.study.spec.seeds import parse_seeds

if TYPE_CHECKING:
    from rl_rmsprop.study.spec.study import Study


@dataclass(frozen=True)
class Compare:
    """Compare arms over the same seeds and report: the main job."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop compare --env CartPole-v1 --betas 0.9 0.99 cusum --steps 1e5",
         "two fixed β and a detector, ten seeds each"),
        ("rl-rmsprop compare --env CartPole-v1 Acrobot-v1 --betas 0.99 --baselines adam",
         "β = 0.99 and Adam on two environments"),
        ("rl-rmsprop compare study.toml --env-kwargs FrozenLake-v1:is_slippery=false",
         "an argument for one of the file's environments; without its id it is for all of them"),
        ("rl-rmsprop compare study.toml --tune 24 --controls --print-config > new.toml",
         "writes a study file: equal tuning of all arms, and the controls of adaptive ones"),
        ("rl-rmsprop compare study.toml --seeds 0-29 --out runs/first", "runs the file's study with other seeds"),
    )  # fmt: skip

    study: StudyFile | None = option(None, metavar="[STUDY.toml]", positional=True, in_study_file=False)
    """Study file: what these options say, in TOML; options win over it."""
    env: tuple[str, ...] = option((), metavar="ID", note="needed")
    """Gymnasium ids of the environments."""
    betas: tuple[str, ...] = option((), metavar="RULE", commas_inside=True)
    """β rules, such as 0.9 0.99 linear:start=0.5,end=0.99 cusum:arl=50000,max=0.99, and controls of them, such as yoked@cusum."""
    baselines: tuple[str, ...] = option(
        (), metavar="NAME", commas_inside=True,
        doc="Optimizers to compare with, with their decay rates as keys if need be, as in adam:beta1=0.5,beta2=0.99: "
        f"{', '.join(BASELINE_NAMES)}.",
    )  # fmt: skip
    controls: bool = False
    """Add every control that fits an adaptive arm: oracle, yoked, random, mean_beta."""
    tune: int = 0
    """Draws of lr and open keys for every arm, on --tune-seeds; the best of each is evaluated on --seeds."""
    match_update_rms: str | None = option(None, metavar="RULE", commas_inside=True)
    """Scale every arm's lr so that its updates are as large as those of this arm."""
    tune_seeds: tuple[str, ...] = ("100000-100004",)
    """Seeds of the runs that --tune and --match-update-rms look at."""
    print_config: bool = option(False, in_study_file=False)
    """Print the study file of all this instead of running it."""
    report: ReportOptions = ReportOptions()
    run: RunOptions = RunOptions()
    settings: Any = Settings()
    workers: WorkerOptions = WorkerOptions()

    @classmethod
    def begin(cls, words: Sequence[str]) -> tuple[Compare, list[str]]:
        """The options that the study file among the words gives, and the words without it."""
        files = [word for i, word in enumerate(words) if is_study_file(word, words[:i])]
        if len(files) > 1:
            raise ValueError(f"compare takes one study file, got {' and '.join(files)}: environments are given with --env")
        if not files:
            return cls(), list(words)
        file = study_file.read(Path(files[0]), declared(cls))
        return with_values(cls(study=file), file.options), [word for word in words if word not in files]

    def __call__(self) -> int:
        study = self.described()
        if self.print_config:
            print(study_file.to_toml(declared(type(self)), study, self.report), end="")
            return 0
        for line in notes_on_seeds(self.run.seeds):
            print(line, file=sys.stderr)
        return running.begin(study, self.run.overwrite, self.workers, self.report)

    def described(self, command: str | None = None) -> Study:
        """The study that options and study file describe; ValueError for whatever cannot be run.

        `command` is the command line that makes it, by default this program's. What is checked last needs what takes longest to
        import.
        """
        run = self.run
        if not self.env:
            raise ValueError("an environment is needed: --env CartPole-v1; rl-rmsprop envs lists the known ones")
        if not (self.betas or self.baselines):
            raise ValueError("at least one arm is needed: --betas 0.9 0.99 …; rl-rmsprop rules lists them")
        with self.place_of("baselines"):
            for text in self.baselines:
                check_baseline(text)
        options = run.training()
        with self.place_of("seeds"):
            seeds = parse_seeds(",".join(run.seeds))
        with self.place_of("tune_seeds"):
            tune_seeds = parse_seeds(",".join(self.tune_seeds))
        self.workers.check()
        with self.place_of("lr_rule"):
            step_size = options.step_size
        lr = None if step_size is None else step_size.usual_lr
        usual: dict[str, Any] = {} if lr is None else {"lr": lr}
        if options.wrapper:  # the scales of a preset are those of the sensors that the environment has without it
            usual["observation_scale"] = ()
        agents = tuple(self.agent_in(env_id, usual) for env_id in self.env)
        self.check_environments(options)
        command = shlex.join(["rl-rmsprop", *sys.argv[1:]]) if command is None else command
        return self.with_arms(options, seeds, tune_seeds, agents, command)

    def agent_in(self, env_id: str, usual: dict[str, Any]) -> Agent:
        """The agent's settings in an environment: flags win over the file, the file over `usual`, and that over the preset."""
        typed = {name: value for name, value in vars(self.settings).items() if value is not None}
        if self.study is None:
            return make_agent(self.run.agent, env_id, {**usual, **typed})
        with place(self.study.place_of_settings(env_id)):
            make_agent(self.run.agent, env_id, self.study.settings_in(env_id))
        return make_agent(self.run.agent, env_id, {**usual, **self.study.settings_in(env_id), **typed})

    def check_environments(self, options: TrainingOptions) -> None:
        """ValueError for changes and environments that do not exist, which is known without torch."""
        import envs

        with self.place_of("shift"):
            shifts = options.shifts
        with self.place_of("env_kwargs"):
            env_kwargs.check_environments(options.env_kwargs, self.env)
        with self.place_of("env"), reporting_hangs():
            envs.import_modules(envs.modules_of(self.env))
            for env_id in self.env:
                envs.check_env_id(env_id, shifts, options.backend, **options.made_with(env_id))

    def with_arms(
        self,
        options: TrainingOptions,
        seeds: tuple[int, ...],
        tune_seeds: tuple[int, ...],
        agents: tuple[Agent, ...],
        command: str,
    ) -> Study:
        """The study with its arms; ValueError for a rule that does not exist. Imports torch."""
        from rl_rmsprop.study.spec.arms import make_arm
        from rl_rmsprop.study.spec.controls import find_arm, make_arms
        from rl_rmsprop.study.spec.folders import default_folder, own_folder
        from rl_rmsprop.study.spec.study import Study

        with self.place_of("betas"):
            for text in self.betas:
                if "@" not in text:
                    make_arm(text)
        with self.place_of("baselines"):
            for text in self.baselines:
                make_arm(text, baseline=True)
        arms = make_arms(self.betas, self.baselines, len(seeds), bool(options.shift), self.controls)
        reference = find_arm(self.match_update_rms, arms, "match_update_rms").text if self.match_update_rms else ""
        if self.run.out:
            folder = own_folder(self.run.out)
        else:
            chosen_by = [*([f"tune{self.tune}"] if self.tune else []), *(["matched"] if reference else [])]
            folder = default_folder(self.env, arms, seeds, options, chosen_by)
        if "," in str(folder) and any(arm.control_kind == "yoked" for arm in arms):
            raise ValueError(f"yoked arms have the study's folder in their rule, got {folder}: choose an --out without a comma")
        study = Study(
            folder, self.env, agents, arms, seeds, options, command, self.tune,
            tune_seeds=tune_seeds if self.tune or reference else (), match_update_rms=reference,
        )  # fmt: skip
        study.check_environments()
        return study

    def place_of(self, name: str) -> AbstractContextManager[None]:
        """Puts the place in the study file before a ValueError about an option that has its value from there."""
        option = next(option for option in declared(type(self)) if option.name == name)
        if self.study and name in self.study.options and self.study.options[name] == value_of(self, option):
            return place(f"{self.study.path}: {name}")
        return nullcontext()


def is_study_file(word: str, before: Sequence[str]) -> bool:
    """Whether a word names the study file: one that ends so, or that no option stands before."""
    return not word.startswith("-") and (word.endswith(".toml") or not any(other.startswith("-") for other in before))


def notes_on_seeds(seeds: Sequence[str]) -> list[str]:
    """A line in case a number of seeds was meant: `--seeds 10` is the one seed 10."""
    if len(seeds) != 1 or not seeds[0].isdecimal() or int(seeds[0]) < 2:
        return []
    number = int(seeds[0])
    return [f"note: --seeds {number} is one run with seed {number}; {number} runs are --seeds 0-{number - 1}"]

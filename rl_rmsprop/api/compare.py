"""`rl_rmsprop.compare`: the main job from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from agents.kernels import KernelName, default_kernel
from rl_rmsprop.api.arguments import compare_options, in_arguments
from rl_rmsprop.api.trained_study import TrainedStudy
from rl_rmsprop.cli.command import command_line
from rl_rmsprop.study.spec.names import EngineName, MetricName
from rl_rmsprop.study.spec.options import AgentName, Backend, Device

if TYPE_CHECKING:
    from envs.shifts.shift import Shift
    from rl_rmsprop.api.arguments import BetaRule
    from rl_rmsprop.step_sizes import StepSize


KERNEL = default_kernel()
"""The compiled one where it is installed, else torch's."""


def compare(
    *,
    env: str | Sequence[str],
    betas: BetaRule | Iterable[BetaRule] = (),
    baselines: str | Sequence[str] = (),
    seeds: str | Iterable[int | str] = "0-9",
    steps: float = 500_000,
    shift: str | Shift | Iterable[str | Shift] = (),
    agent: AgentName = "a2c",
    controls: bool = False,
    tune: int = 0,
    tune_seeds: str | Iterable[int | str] = "100000-100004",
    match_update_rms: BetaRule | None = None,
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    metric: MetricName = "mean_return",
    baseline: BetaRule | None = None,
    threshold: float | str | Sequence[str] | Mapping[str, float] = (),
    eval_episodes: int = 100,
    env_kwargs: Mapping[str, Any] | Sequence[str] = (),
    wrapper: str | type | Iterable[str | type] = (),
    record_signals: bool = False,
    backend: Backend = "gymnasium",
    device: Device = "cpu",
    kernel: KernelName = KERNEL,
    bias_correction: bool = True,
    eps: float = 1e-5,
    lr_rule: str | StepSize | None = "none",
    workers: int | None = None,
    checkpoint_every: float = 60.0,
    engine: EngineName = "local",
    address: str | None = None,
    slurm: Mapping[str, Any] | Sequence[str] = (),
    progress: bool = True,
    **settings: Any,
) -> TrainedStudy:
    """Compare arms over the same seeds, as `rl-rmsprop compare` does, and return what came out.

    Study, folder, report and engines are the command line's: its command with the same options gives the same files, and each
    continues what the other has begun. The same call again trains what is missing, or nothing; so does `load(folder).resume()`.
    Ctrl-C, or a notebook's stop button, saves what is under way and raises KeyboardInterrupt.

    It can be called in a notebook and in any script: worker processes do not run the script. So environments of your own have to
    be in a module of their own, named in the id: `env="my_envs:Walk-v0"`.

    Args:
        env: Gymnasium ids of the environments.
        betas: β rules: numbers, texts such as `"cusum:arl=50000,max=0.99"` (`rl-rmsprop rules` lists them), objects such as
            `Adaptive(…)`, a schedule or a law; and controls of them, such as `"yoked@cusum"`.
        baselines: optimizers to compare with, such as `"adam"` or `"adam:beta1=0.5,beta2=0.99"`.
        seeds: one run per seed: `range(10)`, `[0, 2, 5]` or `"0-9"`.
        steps: environment steps per run.
        shift: what changes in the environments, such as `"gravity:values=9.8/25,at=100000"`; `rl-rmsprop envs ID` lists what can.
        agent: `a2c`, `ppo` or `reinforce`.
        controls: whether to add every control that fits an adaptive arm.
        tune: draws of lr and open keys for every arm, on `tune_seeds`; the best of each is evaluated on `seeds`.
        tune_seeds: seeds of the runs that `tune` and `match_update_rms` look at.
        match_update_rms: the arm as large as whose updates those of all arms are made, by their lr.
        out: the study's folder; by default `runs/` and a name made of the settings.
        overwrite: whether to replace the study that the folder holds.
        metric: the score that decides: `mean_return` over training, `final`, `steps_to_threshold`, or after shifts `drop`,
            `recovery` or `regret`.
        baseline: the arm that the others are compared with, by default the fixed β with the best score.
        threshold: return that counts as solved, or `{id: return}`; by default Gymnasium's.
        eval_episodes: episodes of the final evaluation with the greedy policy; 0 for none.
        env_kwargs: arguments that environments are made with, such as `{"continuous": True}`; those of one of several are in a
            mapping under its id.
        wrapper: Gymnasium wrappers around every environment, classes or `"module:Class"`; the first one is innermost.
        record_signals: whether to record the signals of every update, for `rl-rmsprop replay`.
        backend: `gymnasium` or `envpool`, whose environments to train in.
        device: `cpu` or `cuda`, where networks are trained.
        kernel: `native` or `torch`, what computes networks on the CPU.
        bias_correction: whether E is divided by the weight that it has received.
        eps: ε of the optimizers.
        lr_rule: what decides how long steps are, beside lr: `none`, `trac` or `intentional:eta=0.05`.
        workers: worker processes, by default one per core.
        checkpoint_every: seconds between checkpoints of runs under way.
        engine: `local`, processes of this machine; `ray`, the nodes of a cluster; `slurm`, jobs of a cluster.
        address: the cluster of Ray's, HOST:PORT; by default a private one on this machine.
        slurm: options of sbatch, such as `{"partition": "cpu", "time": "2:00:00", "array": 64}`.
        progress: whether to show how far it is: below a notebook's cell, as a bar in a terminal, as lines on stderr elsewhere.
        **settings: the agent's settings, such as `lr=3e-3`, `n_envs=8`, `hidden=(64, 64)`; `rl-rmsprop compare --help` lists
            them. One left out has the value of the environment's tuned preset, or else the agent's default.

    Returns:
        The study. If some runs failed it says so, and `failures` says why.

    Raises:
        TypeError: for an argument that there is not, with the nearest one.
        ValueError: for whatever cannot be run, before anything is created, and for a folder that holds another study.
        KeyboardInterrupt: if it was stopped; what was under way is saved.
        OSError: if a file could not be written; what was under way is saved.

    """
    arguments = {name: value for name, value in locals().items() if name not in ("settings", "progress")}
    options = compare_options(arguments, settings)
    with in_arguments():
        study = options.described(command_line("compare", options))
        from rl_rmsprop.api import training  # imports torch, and wrong arguments are told before

        results = training.begin(study, options, progress)
    return TrainedStudy(study.folder, results.failures)

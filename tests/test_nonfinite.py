"""NaN and infinity in gradient, reward or observation: what they must not touch, how they are counted, when a run has failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

import envs
from agents import Training
from agents.evaluation import episode_returns
from agents.experience import Rollout
from agents.networks import ActorCritic
from agents.nonfinite import LIMIT, NonfiniteGuard
from agents.normalization import Moments, ObservationNormalizer, RewardNormalizer
from agents.per_run import PerRun
from rl_rmsprop.baselines import BASELINES
from rl_rmsprop.cli import main
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.study.results.recorded_signals import read
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training import batch as batches
from rl_rmsprop.study.training.monitor import UNWATCHED, Monitor
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.policies import evaluation_seed, make_policy
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.study.tuning.trials import Setting, TrialBatch
from rl_rmsprop.study.tuning.trials import read as read_outcomes
from rl_rmsprop.telemetry import tags
from rl_rmsprop.telemetry.csv_table import read_table
from tests.builders import batch_of, with_options
from tests.faults import numbers
from tests.nonfinite_envs import SICK_SEED, Plan, Sick
from tests.test_resume import Interrupting, Killed, digest

modest = settings(deadline=None, derandomize=True, max_examples=25, database=None)
NAN, INF = math.nan, math.inf
SEEDS = (5, 1, 3, 8)
FILES = ("metrics.csv", "episodes.csv", "alarms.csv", "checkpoint/weights.npz")
ALARMING = "cusum:arl=3,burn_in=2,max=0.99"  # alarms every few updates
ARMS = ("0.99", ALARMING, "asymmetric:rise=0.9,fall=0.999", "mixture", "linear:start=0.5,end=0.99", *BASELINES)
AGENTS: dict[str, dict[str, Any]] = {
    "a2c": {"n_envs": 2, "n_steps": 5},
    "ppo": {"n_envs": 2, "n_steps": 8, "batch_size": 6, "n_epochs": 2},
    "reinforce": {"n_envs": 2, "n_steps": 10},
}


@pytest.fixture(autouse=True)
def clean_registry():
    yield
    for name in [name for name in gym.registry if name.startswith("Ill")]:
        gym.registry.pop(name)


def ill(plans: dict[int, Plan], continuous: bool = False, rate: float = 0.0) -> str:
    """A registered environment in which the runs of some seeds get numbers that are not finite."""
    name = f"Ill{len([name for name in gym.registry if name.startswith('Ill')])}-v0"
    gym.register(name, entry_point=Sick, max_episode_steps=40, kwargs={"plans": plans, "continuous": continuous, "rate": rate})
    return name


def spec(
    folder: Path,
    env_id: str,
    rule: str = "0.99",
    seeds: tuple[int, ...] = SEEDS,
    steps: int = 1200,
    agent: str = "a2c",
    **options: Any,
) -> BatchSpec:
    made = make_agent(agent, env_id, {**AGENTS[agent], "hidden": (5,), **options})
    arm = make_arm(rule, rule in BASELINES)
    return batch_of(str(folder), env_id, agent, made, arm, seeds, steps, eval_episodes=3)


def trained(batch: BatchSpec) -> tuple[list[str], dict[int, dict[str, bytes]]]:
    """Train a batch; returns its lines of failure and what each run has written."""
    lines = train_batch(batch)
    folders = {seed: batch.run_folder(seed) for seed in batch.seeds}
    return lines, {
        seed: {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
        for seed, folder in folders.items()
    }


# Whole trainings -----------------------------------------------------------------------------------------------------------

ONCE: Plan = {7: ("reward", NAN), 31: (2, NAN), 60: ("reward", INF), 61: ("reward", -INF), 90: (0, -INF)}


@pytest.mark.parametrize(
    ("agent", "rule", "normalized"),
    [
        ("a2c", "mixture", False),
        ("a2c", "momentum", False),
        ("a2c", ALARMING, True),
        ("ppo", ALARMING, False),
        ("ppo", "adam", True),
        ("reinforce", "0.99", True),
    ],
)
def test_one_ill_run_changes_no_bit_of_its_neighbours_and_goes_on_itself(tmp_path, agent, rule, normalized):
    """Silent failure: NaN times a mask of zeros is NaN, a sum over runs carries it to all of them, a shared clock goes on."""
    options = {"agent": agent, "steps": 240, "normalize_observations": normalized, "normalize_rewards": normalized}
    healthy = trained(spec(tmp_path / "healthy", ill({}), rule, **options))[1]
    env_id = ill({3: ONCE})
    lines, files = trained(spec(tmp_path / "together", env_id, rule, **options))
    assert lines == []
    for seed in (5, 1, 8):
        assert files[seed] == healthy[seed], seed
    assert trained(spec(tmp_path / "alone", env_id, rule, seeds=(3,), **options))[1][3] == files[3]
    assert files[3] != healthy[3]
    metrics = read_table(tmp_path / "together" / env_id / make_arm(rule, rule in BASELINES).name / "seed_0003" / "metrics.csv")
    skipped = metrics["optim/skipped"]
    assert (np.diff(skipped) >= 0).all()
    assert 4 <= skipped[-1] <= 2 * 4  # an observation at a rollout's end belongs to both
    for tag, values in metrics.items():
        assert not np.isinf(values).any() or tag == "detector/threshold", tag
    with np.load(
        tmp_path / "together" / env_id / make_arm(rule, rule in BASELINES).name / "seed_0003/checkpoint/weights.npz"
    ) as saved:
        assert all(np.isfinite(saved[name]).all() for name in saved.files)
    known = read_table(tmp_path / "together" / env_id / make_arm(rule, rule in BASELINES).name / "seed_0003" / "episodes.csv")
    assert np.isfinite(known["return"]).all()


@pytest.mark.parametrize(
    ("agent", "rule"), [*(("a2c", rule) for rule in ARMS), ("ppo", "0.99"), ("ppo", ALARMING), ("ppo", "adam")]
)
def test_a_rollout_that_is_not_finite_leaves_every_bit_of_its_run(agent, rule):
    """Silent failure: E, w, momentum, a detector's mean or a clock takes part in an update that was to be skipped."""
    env = envs.make(ill({3: {8: ("reward", NAN), 33: (1, INF), 52: ("reward", INF)}}), SEEDS, 2)
    batch = spec(Path(), "Sick", rule, agent=agent)
    policy = make_policy(batch, env)
    optimizer = make_optimizer(batch.arm, policy.parameters(), 1e-2, 50, SEEDS, batch.options)
    row, seen = 2, []
    bad_iterations = {2, 7, 11} if agent == "a2c" else {1, 5, 7}  # the 52nd step is the 53rd call, an episode having ended before
    updates = batch.agent.updates_per_iteration

    def rows() -> dict[str, Any]:
        tensors = {f"θ{i}": p.detach() for i, p in enumerate(policy.parameters())}
        for i, p in enumerate(policy.parameters()):
            tensors |= {f"{name} {i}": x for name, x in optimizer.state[p].items() if isinstance(x, Tensor) and x.dim()}
        tensors |= optimizer.param_groups[0].get("rule_state", {})
        alpha = optimizer.param_groups[0].get("alpha")
        tensors |= {"alpha": alpha} if isinstance(alpha, Tensor) else {}
        return {name: x.clone() for name, x in tensors.items()}

    before = rows()
    for update in Training(batch.agent, env, policy, optimizer, 14, SEEDS):
        after = rows()
        same = [
            r for r in range(4) if all(torch.equal(after[n][r], before.get(n, torch.zeros_like(x))[r]) for n, x in after.items())
        ]
        assert same == ([row] if update.iteration in bad_iterations else []), update.iteration
        if update.iteration in bad_iterations:
            seen.append(update.iteration)
            assert update.grad_norms.isnan().tolist() == [[False, False, True, False]] * updates
        before = after
    assert seen == sorted(bad_iterations)
    assert update.status.skipped.tolist() == [0, 0, 3, 0]
    assert optimizer.param_groups[0]["skipped"].tolist() == [0, 0, 3 * updates, 0]


def test_gradients_broken_by_a_hook_are_counted_and_skipped(tmp_path, monkeypatch):
    """Silent failure: only data are looked at, and a loss that overflows by itself gets through."""
    calls = []

    def breaking(policy: Any, loss: Tensor) -> None:
        backward(policy, loss)
        calls.append(0)
        if len(calls) in (3, 4, 20):
            policy.parameters()[len(calls) % 2].grad[1, 7] = (NAN, INF)[len(calls) % 2]

    def trained_with(name: str) -> tuple[list[str], dict[int, dict[str, bytes]]]:
        return trained(with_options(spec(tmp_path / name, env_id, ALARMING, steps=240), kernel="torch"))

    env_id = ill({})
    healthy = trained_with("healthy")[1]
    backward = ActorCritic.backward
    monkeypatch.setattr(ActorCritic, "backward", breaking)
    lines, files = trained_with("broken")
    assert lines == []
    assert all((files[seed] == healthy[seed]) == (seed != SEEDS[1]) for seed in SEEDS)
    assert read_table(spec(tmp_path / "broken", env_id, ALARMING).run_folder(SEEDS[1]) / "metrics.csv")["optim/skipped"][-1] == 3


@pytest.mark.parametrize("rule", ["0.99", ALARMING, "adam"])
def test_a_gradient_that_turns_bad_after_the_loop_has_seen_it_is_skipped_too(tmp_path, monkeypatch, rule):
    """Silent failure: the optimizer trusts a norm that somebody else has measured."""

    def hooked(*args: Any) -> torch.optim.Optimizer:
        optimizer = make_optimizer(*args)
        counted = iter(range(10_000))

        def spoil(*_: Any) -> None:
            if next(counted) in (0, 5, 9):
                optimizer.param_groups[0]["params"][1].grad[0] = INF

        optimizer.register_step_pre_hook(spoil)
        return optimizer

    env_id = ill({})
    healthy = trained(spec(tmp_path / "healthy", env_id, rule, steps=160))[1]
    monkeypatch.setattr(batches, "make_optimizer", hooked)
    lines, files = trained(spec(tmp_path / "broken", env_id, rule, steps=160))
    assert lines == []
    assert [seed for seed in SEEDS if files[seed] != healthy[seed]] == [SEEDS[0]]
    with np.load(spec(tmp_path / "broken", env_id, rule).run_folder(SEEDS[0]) / "checkpoint" / "weights.npz") as saved:
        assert all(np.isfinite(saved[name]).all() for name in saved.files)


@pytest.mark.parametrize("agent", AGENTS)
def test_ten_in_a_row_fail_the_run_alone(tmp_path, agent):
    """Silent failure: the batch dies with its sickest run, or that run goes on and is averaged in."""
    start = 41
    plan: Plan = {step: (1, NAN) for step in range(start, 5000)}
    options = {"agent": agent, "steps": 360}
    healthy = trained(spec(tmp_path / "healthy", ill({}), **options))[1]
    batch = spec(tmp_path / "ill", ill({3: plan}), **options)
    lines, files = trained(batch)
    (line,) = lines
    prefix = f"{batch.env_id} · 0.99 · seed 3: observation of the environment: sensor 2 of 3 was nan at step "
    assert line.startswith(prefix)
    assert "; 10 updates in a row were skipped, the last at update " in line
    assert all(files[seed] == healthy[seed] for seed in (5, 1, 8))
    folder = batch.run_folder(3)
    assert (folder / "error.txt").read_text() == line.split("seed 3: ")[1] + "\n"
    assert sorted(path.name for path in (folder / "checkpoint").iterdir()) == ["before_failure.npz"]
    metrics = read_table(folder / "metrics.csv")
    steps = batch.agent.n_envs * batch.agent.n_steps
    failed_at = (
        -(-(start + 10) // batch.agent.n_steps) + LIMIT
    )  # the iteration in which it begins, and nine more; resets delay it
    assert metrics["step"][-1] <= failed_at * steps
    assert metrics["optim/skipped"][-1] == LIMIT
    assert metrics["step"][-1] < read_table(batch.run_folder(5) / "metrics.csv")["step"][-1]
    with np.load(folder / "checkpoint" / "before_failure.npz") as good:
        assert all(np.isfinite(good[name]).all() for name in good.files)
    assert read_table(folder / "episodes.csv")["step"].max(initial=0) <= metrics["step"][-1]


def test_a_run_that_fails_between_two_rows_changes_no_row_of_its_neighbours(tmp_path, monkeypatch):
    """Silent failure: the row that a failed run gets of its own begins the others' range of β anew."""
    monkeypatch.setattr(tags, "POINTS", 20)
    options = {"rule": "cyclic:start=0.1,end=0.9,period=7", "seeds": (1, 3), "steps": 600}  # a row every third iteration
    healthy = trained(spec(tmp_path / "healthy", ill({}), **options))[1]
    plans: dict[int, Plan] = {3: {step: ("reward", NAN) for step in range(106, 5000)}}
    lines, files = trained(batch := spec(tmp_path / "ill", ill(plans), **options))
    assert len(lines) == 1
    assert files[1] == healthy[1]
    steps = read_table(batch.run_folder(3) / "metrics.csv")["step"]
    assert steps[-1] - steps[-2] != steps[-2] - steps[-3]  # its last row is of the iteration in which it failed


@pytest.mark.parametrize("rule", [ALARMING, "adam"])
def test_a_batch_with_ill_runs_that_was_cut_off_goes_on_bit_for_bit(tmp_path, rule):
    """Silent failure: after an interruption a failed run is back, or an ill one has as many updates to lose as a new one."""
    env_id = ill({}, rate=0.01)  # two runs fail by their training, from iteration 87 on, and two by their evaluation
    whole, cut = (with_options(spec(tmp_path / name, env_id, rule), record_signals=True) for name in ("whole", "cut"))
    lines = train_batch(whole)
    assert len(lines) == 4
    with pytest.raises(Killed):
        train_batch(cut, Interrupting(40, 44))
    assert not list((tmp_path / "cut").rglob("error.txt"))
    with pytest.raises(Killed):
        train_batch(cut, Interrupting(50, 54))
    assert list((tmp_path / "cut").rglob("error.txt"))
    monitor = Interrupting(0, None)
    assert train_batch(cut, monitor) == lines
    assert (monitor.iterations, monitor.notes) == (120 - 90, [])
    assert digest(cut) == digest(whole)


def test_weights_kept_of_a_failed_run_are_those_before_its_first_bad_update(tmp_path):
    """Silent failure: what is called the last good state was moved by one of the updates that made the run fail."""
    plan: Plan = {step: ("reward", NAN) for step in range(51, 5000)}
    batch = spec(tmp_path / "ill", ill({3: plan}), "momentum", seeds=(3,))
    assert len(trained(batch)[0]) == 1
    folder = batch.run_folder(3)
    wanted = [
        p.detach().clone()
        for p in stepped("momentum", ill({3: plan}), iterations=int(read_table(folder / "metrics.csv")["step"].size) - LIMIT)
    ]
    with np.load(folder / "checkpoint" / "before_failure.npz") as saved:
        for name, theta in zip(("actor", "critic"), wanted, strict=True):
            assert np.array_equal(saved[name], theta[0].numpy())


def stepped(rule: str, env_id: str, iterations: int) -> list[Parameter]:
    """The parameters of the run with seed 3 after some iterations of the training of `spec`."""
    batch = spec(Path(), env_id, rule, seeds=(3,))
    env = envs.make(env_id, (3,), 2)
    policy = make_policy(batch, env)
    optimizer = make_optimizer(batch.arm, policy.parameters(), batch.agent.lr, batch.updates, (3,), batch.options)
    for _ in Training(batch.agent, env, policy, optimizer, iterations, (3,)):
        pass
    return policy.parameters()


def test_a_batch_ends_when_all_of_its_runs_have_failed(tmp_path):
    """Silent failure: hours of simulation for nobody, or an evaluation of nothing."""
    plan: Plan = {step: ("reward", INF) for step in range(1, 50_000)}
    batch = spec(tmp_path, ill({seed: plan for seed in SEEDS}), steps=100_000)
    progress: list[Any] = []
    lines = train_batch(batch, Monitor(progress.append))
    assert len(lines) == 4
    assert all("reward of the environment was inf at step " in line for line in lines)
    assert max(p.steps for p in progress) <= 4 * 20 * 10 * batch.iterations // 250 if progress else True
    for seed in SEEDS:
        assert len(read_table(batch.run_folder(seed) / "metrics.csv")["step"]) == 1


def test_a_step_size_that_diverges_fails_with_advice(tmp_path):
    """Silent failure: weights grow until nothing is finite any more, and the run is reported as merely bad."""
    batch = spec(tmp_path, ill({}), "sgd", seeds=(1, 2), lr=1e38, max_grad_norm=1e30, steps=4000)
    lines, _ = trained(batch)
    assert len(lines) == 2
    for line in lines:
        assert "non-finite gradient in 10 updates in a row, the last at update " in line
        assert line.endswith("lower lr or max_grad_norm")


@pytest.mark.parametrize(
    ("sensor", "advice"),
    [
        ("reward", "where rewards were as large as 1e+30: make them smaller with --reward-scale or --normalize-rewards"),
        (1, "where observations were as large as 1e+30: make them smaller with --observation-scale or --normalize-observations"),
    ],
)
def test_numbers_so_large_that_gradients_overflow_fail_with_advice_that_helps(tmp_path, sensor, advice):
    """Silent failure: whoever pays 1e30 is told to lower the step size, and fails again."""
    plan: Plan = {step: (sensor, 1e30) for step in range(20, 5000)}
    options = {"seeds": (1, 3), "steps": 240, "hidden": ()}  # hidden units would be saturated, and have no gradient
    lines, _ = trained(spec(tmp_path / "ill", ill({3: plan}), **options))
    (line,) = lines
    assert line.endswith(advice)
    names = {"reward": {"normalize_rewards": True}, 1: {"normalize_observations": True}}
    assert trained(spec(tmp_path / "helped", ill({3: plan}), **options, **names[sensor]))[0] == []


def test_an_evaluation_that_is_not_finite_fails_its_run_and_no_other(tmp_path):
    """Silent failure: the last row has no evaluation, and the run counts as unfinished without a reason."""
    plan: Plan = {step: ("reward", NAN) for step in range(1, 5000)}
    batch = spec(tmp_path, ill({evaluation_seed(3): plan}), steps=200)
    lines, files = trained(batch)
    assert len(lines) == 1
    assert "seed 3: 1 of 3 episodes of the final evaluation had an observation or a reward that was not finite: mend" in lines[0]
    assert trained(spec(tmp_path / "healthy", ill({}), steps=200))[1][5] == files[5]
    assert not (batch.run_folder(3) / "checkpoint" / "weights.npz").exists()


def test_an_observation_that_is_not_finite_spoils_its_episode_of_an_evaluation_alone():
    """Silent failure: returns are those of a policy that saw NaN; or the other runs lose their episodes too."""
    seeds, plan = (1, 2), {5: (0, NAN), 6: (2, INF)}
    returns = []
    for plans in ({}, {1: plan}):
        env = envs.make(ill(plans), seeds, 3)
        returns.append(episode_returns(env, make_policy(spec(Path(), "x", seeds=seeds), env), 7))
    healthy, sick = returns
    assert healthy.shape == sick.shape == (2, 7)
    assert np.isfinite(healthy).all()
    assert np.array_equal(healthy[1], sick[1])
    assert np.isnan(sick[0]).tolist() == [True, *[False] * 6]
    assert np.array_equal(healthy[0, [1, 2]], sick[0, [1, 2]])


def test_a_simulator_never_gets_an_action_that_is_no_number(tmp_path):
    """Silent failure: a physics engine that is given NaN may abort the process, and with it every run of the batch."""
    env_id = ill({3: {step: (0, NAN) for step in (4, 5, 90)}}, continuous=True)  # Sick asserts finite actions
    assert trained(spec(tmp_path, env_id, steps=400))[0] == []


def test_signals_of_skipped_updates_repeat_those_before(tmp_path):
    """Silent failure: `replay` refuses the whole study for one update, or feeds NaN to every detector."""
    batch = spec(tmp_path, ill({3: {8: ("reward", NAN), 52: (1, NAN)}}), seeds=(3, 5), steps=300)
    train_batch(with_options(batch, record_signals=True))
    recording = read(batch.env_id, "0.99", [(seed, batch.run_folder(seed) / "signals.npz") for seed in batch.seeds])
    assert recording.squares.isfinite().all()
    assert torch.equal(recording.squares[1, 0], recording.squares[0, 0])
    assert not torch.equal(recording.squares[1, 1], recording.squares[0, 1])
    assert all(recording.signal(name).isfinite().all() for name in ("surprise", "grad_norm", "cosine", "peak_surprise"))


def test_a_trial_that_fails_has_no_mean_return_and_is_no_failure_of_the_study(tmp_path):
    """Silent failure: tuning picks the step size with which a run earned most until it diverged."""
    base = spec(tmp_path, ill({}), "sgd", seeds=(1, 2), max_grad_norm=1e30, steps=2000)
    trial = TrialBatch(base, (Setting(0, 1e-3, "sgd"), Setting(1, 1e38, "sgd")), str(tmp_path / "trials.csv"))
    assert list(trial.run(UNWATCHED)) == []
    outcomes = read_outcomes(tmp_path / "trials.csv")
    unknown = [(math.isnan(o.mean_return), math.isnan(o.update_rms)) for o in outcomes]
    assert unknown == [(False, False)] * 2 + [(True, True)] * 2


def test_a_study_with_one_failing_run_of_four_goes_on_and_says_so(tmp_path, capsys):
    """Silent failure: the exit code, the terminal or the report does not know of the run that is missing."""
    out = tmp_path / "x"
    line = "compare --env tests.nonfinite_envs:Sick-v0 --betas 0.99 --baselines adam --seeds 1-4 --steps 4000 --eval-episodes 3"
    assert main([*line.split(), "--out", str(out), "--n-envs", "8", "--n-steps", "16", "--hidden", "5"]) == 3
    output = capsys.readouterr()
    lines = sorted(output.err.splitlines())
    assert [text.split(": reward")[0] for text in lines] == [
        f"failed: tests.nonfinite_envs:Sick-v0 · {arm} · seed {SICK_SEED}" for arm in ("0.99", "adam")
    ]
    assert all("10 updates in a row were skipped" in text for text in lines)
    report = (out / "report" / "report.md").read_text()
    assert f"| tests.nonfinite_envs:Sick-v0 | β = 0.99 | {SICK_SEED} | reward of the environment was nan at step " in report
    assert "2 of 8 runs did not finish" in output.out
    for arm in ("0.99", "adam"):
        for seed in (1, 2, 4):
            assert (out / "tests.nonfinite_envs:Sick-v0" / arm / f"seed_{seed:04d}" / "checkpoint" / "weights.npz").is_file()
        assert (out / "tests.nonfinite_envs:Sick-v0" / arm / f"seed_{SICK_SEED:04d}" / "error.txt").is_file()


# When a run has failed -----------------------------------------------------------------------------------------------------


def rollout_of(reward: float = 1.0, observation: float = 0.0) -> Rollout:
    """Two steps of one run in one environment with two sensors; the given numbers come last."""
    observations = torch.zeros(3, 1, 1, 2)
    observations[2, 0, 0, 1] = observation
    nothing = torch.zeros(2, 1, 1, dtype=torch.bool)
    return Rollout(observations, nothing.long(), torch.tensor([1.0, reward]).view(2, 1, 1), nothing, nothing, ~nothing)


def guard_after(bad: Sequence[bool], updates_per_iteration: int = 1) -> NonfiniteGuard:
    """The guard of a run whose gradients were not finite in some iterations."""
    guard = NonfiniteGuard(1)
    for is_bad in bad:
        guard.check_rollout(rollout_of(), np.zeros(1, np.int64))
        for _ in range(updates_per_iteration):
            failed = bool(guard.failed[0])
            assert skips(guard, NAN if is_bad else 1.0) == (is_bad or failed)
    return guard


def skips(guard: NonfiniteGuard, norm: float = 1.0) -> bool:
    """Whether the guard skips an update of its run with this gradient norm."""
    mask = guard.check_gradients(torch.tensor([norm]))
    assert mask is None or mask.tolist() == [False]
    return mask is not None


@modest
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 200)), max_size=10))
def test_a_run_fails_at_ten_in_a_row_or_ten_that_are_more_than_one_per_cent(pieces):
    """Silent failure: the count in a row is not reset, or the share is taken of another number."""
    bad = [x for many, few in pieces for x in [True] * many + [False] * few]
    guard = guard_after(bad)
    failed_at = None
    for n in range(1, len(bad) + 1):
        total = sum(bad[:n])
        if bad[n - 1] and total >= 10 and (all(bad[n - 10 : n]) or total > n / 100):
            failed_at = n
            break
    assert bool(guard.failed[0]) == (failed_at is not None)
    made = bad[:failed_at]
    assert (int(guard.counted[0]), int(guard.skipped[0])) == (len(made), sum(made))
    assert int(guard.updates) == len(bad)
    if failed_at is not None:
        assert f"the last at update {failed_at:,}: lower lr or max_grad_norm" in str(guard.reasons[0])


def test_a_single_bad_update_at_the_start_fails_nothing():
    """Silent failure: one of one is more than 1 %, and every run with a bad first rollout dies."""
    assert not guard_after([True, *[False] * 10]).failed[0]
    assert not guard_after(([True] * 9 + [False]) + [False] * 5).failed[0]
    assert guard_after([*[True] * 9, False, True]).failed[0]  # ten of eleven
    assert not guard_after([*[False] * 989, True] * 12).failed[0]  # each the first in 990
    assert str(guard_after([True] * 10).reasons[0]).startswith(
        "non-finite gradient in 10 updates in a row, the last at update 10: "
    )
    spread = guard_after([*[True, False] * 5, *[False] * 300, *[True, False] * 5])
    assert str(spread.reasons[0]).startswith("non-finite gradient in 10 of 319 updates, the last at update 319: ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"reward": NAN}, "reward of the environment was nan at step 42; "),
        ({"reward": -INF}, "reward of the environment was -inf at step 42; "),
        ({"observation": INF}, "observation of the environment: sensor 2 of 2 was inf at step 42; "),
    ],
)
def test_all_updates_of_a_bad_rollout_count_as_one(data, words):
    """Silent failure: with PPO, which makes hundreds of updates on a rollout, a single NaN ends the run."""
    guard = NonfiniteGuard(1)
    for n in range(1, 11):
        guard.check_rollout(rollout_of(**data), np.array([42]))
        assert skips(guard)
        assert int(guard.skipped[0]) == n
        for _ in range(30):
            assert skips(guard)
        assert bool(guard.failed[0]) == (n == 10)
    assert str(guard.reasons[0]).startswith(
        f"{words}10 updates in a row were skipped, the last at update 280: mend the environment"
    )


def test_numbers_whose_sum_overflows_are_finite():
    """Silent failure: large numbers are taken for infinite ones."""
    guard = NonfiniteGuard(1)
    guard.check_rollout(rollout_of(reward=3e38, observation=3e38), np.array([2]))
    assert not skips(guard)


def test_a_saved_state_goes_on_where_it_was():
    """Silent failure: after an interruption a run has nine more updates to lose, or a failed one is back."""
    bad = [False] * 30 + [True] * 9
    whole = guard_after([*bad, True])
    guard = NonfiniteGuard(1)
    guard.restore(guard_after(bad).snapshot())
    assert not guard.failed[0]
    guard.check_rollout(rollout_of(), np.array([2]))
    skips(guard, NAN)
    assert guard.failed[0]
    assert all(np.array_equal(value, whole.snapshot()[name]) for name, value in guard.snapshot().items())
    again = NonfiniteGuard(1)
    again.restore(whole.snapshot())
    again.check_rollout(rollout_of(), np.array([2]))
    assert skips(again)


# Running statistics ---------------------------------------------------------------------------------------------------------


@modest
@given(st.integers(0, 1000), st.floats(0.05, 0.5), st.sampled_from([NAN, INF, -INF]))
def test_moments_are_those_of_the_finite_vectors(seed, share, value):
    """Silent failure: one NaN is in the mean of all observations that follow, to the end of the training."""
    noise = np.random.default_rng(seed)
    steps, R, N, O = 12, 2, 3, 2  # noqa: E741  # the axes' letters
    x, counts = noise.normal(3, 5, (steps, R, N, O)), noise.random((steps, R, N)) < 0.8
    x[noise.random(x.shape) < share] = value
    moments = Moments(R, O)
    for t in range(steps):
        moments.update(x[t], counts[t])
    for r in range(R):
        known = x[:, r][counts[:, r] & np.isfinite(x[:, r]).all(-1)]
        total = len(known) + 1e-4
        mean = known.sum(0) / total
        np.testing.assert_allclose(moments.mean[r], mean, rtol=1e-9, atol=1e-12)
        variance = (np.square(known - mean).sum(0) + 1e-4 * (1 + mean**2)) / total
        np.testing.assert_allclose(moments.variance[r], variance, rtol=1e-9)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_comes_out_as_it_is_and_leaves_the_others_as_they_were(value):
    """Silent failure: an infinite observation is cut to 10 and learned from."""
    noise = np.random.default_rng(1)
    sick, healthy = ObservationNormalizer(2, 3), ObservationNormalizer(2, 3)
    rewards, right = RewardNormalizer(2, 4, 0.9), RewardNormalizer(2, 4, 0.9)
    valid, over = np.ones((2, 4), bool), np.zeros((2, 4), bool)
    for t in range(20):
        x, r = noise.normal(2, 3, (2, 4, 3)).astype(np.float32), noise.normal(2, 3, (2, 4)).astype(np.float32)
        if t in (0, 7):
            wrong, unpaid, missing = x.copy(), r.copy(), valid.copy()
            wrong[1, 2, 0] = unpaid[1, 2] = value
            missing[1, 2] = False
            out, paid = sick.update(wrong, valid), rewards.update(unpaid, valid, over)
            x[1, 2] = 0.0
            r[1, 2] = 0.0
            expected, scaled = healthy.update(x, missing), right.update(r, missing, over)
            assert np.array_equal(out[1, 2, 0], np.float32(value), equal_nan=True)
            assert np.array_equal(paid[1, 2], np.float32(value), equal_nan=True)
            out[1, 2] = expected[1, 2]
            paid[1, 2] = scaled[1, 2]
        else:
            out, expected = sick.update(x, valid), healthy.update(x, valid)
            paid, scaled = rewards.update(r, valid, over), right.update(r, valid, over)
        assert out.dtype == paid.dtype == np.float32
        assert np.array_equal(out, expected)
        assert np.array_equal(paid, scaled)


# Baselines ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_mask", [False, True], ids=["not finite", "masked"])
@pytest.mark.parametrize("name", BASELINES)
@settings(modest, max_examples=6)
@given(st.integers(0, 1000), st.integers(1, 4), st.floats(0, 0.6))
def test_each_run_of_a_baseline_is_torchs_own_optimizer_on_the_updates_it_takes_part_in(name, by_mask, seed, runs, share):
    """Silent failure: a skipped run's clock goes on with its neighbours', and Adam corrects a bias that it does not have."""
    noise = torch.Generator().manual_seed(seed)
    start = [torch.randn(runs, size, generator=noise) for size in (3, 2)]
    stream = [[torch.randn(p.shape, generator=noise) for p in start] for _ in range(15)]
    bad = torch.rand(15, runs, generator=noise) < share
    arm, options = make_arm(name, baseline=True), TrainingOptions()
    batched = [Parameter(p.clone()) for p in start]
    optimizer = make_optimizer(arm, batched, 0.1, 15, range(runs), options)
    for t, entry in enumerate(stream):
        for p, g in zip(batched, entry, strict=True):
            p.grad = g.clone()
        if not by_mask:
            batched[t % 2].grad[bad[t], t % 2] = (NAN, INF, 1e20)[t % 3]  # type: ignore[index]
        if t == 8:  # through a checkpoint
            saved = optimizer.state_dict()
            optimizer = make_optimizer(arm, batched, 0.3, 15, range(runs), options)
            optimizer.load_state_dict(saved)
        optimizer.step(mask=~bad[t] if by_mask else None)
    assert optimizer.param_groups[0]["skipped"].tolist() == bad.sum(0).tolist()
    for r in range(runs):
        alone = [Parameter(p[r : r + 1].clone()) for p in start]
        expected: Any = make_optimizer(arm, alone, 0.1, 15, [r], options)
        assert isinstance(expected, PerRun)
        for t in range(15):
            if not bad[t, r]:
                for p, g in zip(alone, stream[t], strict=True):
                    p.grad = g[r : r + 1].clone()
                expected.inner.step()
        for p, own in zip(batched, alone, strict=True):
            assert torch.equal(p[r : r + 1], own)
            for key, x in expected.inner.state[own].items():
                if isinstance(x, Tensor) and x.dim():
                    assert torch.equal(optimizer.state[p][key][r : r + 1], x), key


# A signal that overflows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", ["surprise", "peak_surprise", "grad_norm", "cosine"])
def test_a_detector_outlives_finite_gradients_whose_signal_overflows(signal):
    """Silent failure: the sum of finite squares is infinite, and with it every running mean of the detector from then on."""
    p = Parameter(torch.ones(8))
    optimizer = AdaptiveRMSprop([p], lr=1e-3, alpha=f"cusum:arl=1000,signal={signal},max=0.99", nonfinite="skip")
    for t in range(30):
        p.grad = torch.full((8,), 1e19 if t in (0, 20) else 1e-20)
        optimizer.step()
    state = optimizer.param_groups[0]["rule_state"]
    assert optimizer.stats()["skipped"] == 0
    assert all(torch.as_tensor(x).isfinite().all() for name, x in state.items() if name != "since")  # inf before an alarm
    assert p.isfinite().all()


# The table of faults --------------------------------------------------------------------------------------------------------


def test_generated_optimizers_equal_the_reference_and_injected_numbers_leave_no_trace(monkeypatch):
    """Silent failure: the table of promises is printed by hand alone, and nobody notices that one of them is broken."""
    monkeypatch.setattr(numbers, "CASES", 4_000)  # of which a quick check takes a tenth
    for row in numbers.rows(quick=True):
        assert row.kept, row

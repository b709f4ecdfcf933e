"""The promise of batching: a run alone and the same run within any batch write the same bytes; so does a command given twice.

It is tested with the vectors of the processor at hand, in a process of its own with each narrower kind that torch can be told to
use, and by construction: see agents/reproducible.py. What is said here of vectors is said of torch's kernel; the compiled one has
one order of operations for all (rl_rmsprop/native/cpp/vector.h, tests/test_native.py).
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents.distributions import Categorical, Gaussian
from agents.networks import ActorCritic
from agents.reproducible import BLOCK, one_thread
from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.baselines import names_baseline
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.batch import Batch
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.telemetry.csv_table import read_table
from tests import space_envs  # noqa: F401  # registers environments
from tests.builders import batch_of
from tests.kernels import AVAILABLE
from tests.rule_table import ROWS as RULES

with warnings.catch_warnings():
    # Box2D's C module warns while it is being built; a warning turned into an error there is a segmentation fault.
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401

torch.set_num_threads(1)

FILES = ("metrics.csv", "episodes.csv", "checkpoint/weights.npz", "config.json")
"""All that a run leaves but the view of it and its timing, in which the clock on the wall has a part."""

SEED = 7
PAIR, SEVEN = (4, SEED), (0, 1, SEED, 2, 3, 5, 6)
THIRTY_TWO = (*range(100, 120), SEED, *range(200, 211))


class Walk(gym.Env):
    """A random walk on a line, pushed left or right: the observation is one number."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.normal()
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x += 0.5 * (2 * action - 1) + 0.1 * self.np_random.normal()
        return np.array([self.x], np.float32), -abs(self.x), abs(self.x) > 3, False, {}


@pytest.fixture(autouse=True)
def walk():
    gym.register("TestWalk-v0", entry_point=Walk, max_episode_steps=50)
    yield
    gym.registry.pop("TestWalk-v0")


def spec(
    folder: Path, env_id: str, agent: str, rule: str, seeds, steps: int, episodes: int, options: dict[str, Any], kernel="torch"
) -> BatchSpec:
    settings, arm = make_agent(agent, env_id, options), make_arm(rule, names_baseline(rule))
    batch = batch_of(str(folder), env_id, agent, settings, arm, seeds, steps, episodes)
    return replace(batch, options=replace(batch.options, kernel=kernel))


def files_of(batch: BatchSpec, seed: int = SEED) -> dict[str, bytes]:
    """What the run with this seed has written."""
    return {name: (batch.run_folder(seed) / name).read_bytes() for name in FILES}


def trained(*args) -> dict[str, bytes]:
    """Train a batch and return what the run of interest has written."""
    train_batch(batch := spec(*args))
    return files_of(batch)


LINEAR = "linear:start=0.5,end=0.99"
ASYMMETRIC = "asymmetric:rise=0.9,fall=0.999"
CUSUM = "cusum:arl=50000,max=0.99"
SENSITIVE = "cusum:arl=1.5,burn_in=2,max=0.99"  # alarms every few updates
KL = "ewma:arl=50,burn_in=2,signal=kl"

SMALL = {"n_envs": 3, "n_steps": 25, "batch_size": 16, "n_epochs": 2}
NORMALIZED = {"normalize_observations": True, "normalize_rewards": True, "observation_scale": ()}

ROWS = {
    # name: (environment, agent, rule, steps, evaluation episodes, settings)
    "CartPole a2c 64-64 x8": ("CartPole-v1", "a2c", "0.99", 800, 8, {"n_envs": 8}),
    "CartPole a2c 10 x3": ("CartPole-v1", "a2c", CUSUM, 600, 3, {"n_envs": 3, "n_steps": 5, "hidden": (10,)}),
    "CartPole a2c alarms": ("CartPole-v1", "a2c", SENSITIVE, 1000, 3, {"n_envs": 3, "hidden": (10,)}),
    "CartPole a2c plain": ("CartPole-v1", "a2c", LINEAR, 600, 3, {"normalize_advantage": False, "reward_scale": 1.0}),
    "CartPole reinforce 64-64 x3": ("CartPole-v1", "reinforce", ASYMMETRIC, 900, 3, {"n_envs": 3, "n_steps": 100}),
    "CartPole reinforce 10 x8": ("CartPole-v1", "reinforce", LINEAR, 1200, 3, {"n_envs": 8, "n_steps": 50, "hidden": (10,)}),
    "CartPole mixture": ("CartPole-v1", "a2c", "mixture", 800, 3, {"n_envs": 3, "hidden": (12,)}),
    "CartPole policy clock": ("CartPole-v1", "a2c", "policy_clock:kl=0.02,max=0.999", 800, 3, {"n_envs": 3, "hidden": (12,)}),
    "CartPole Adam": ("CartPole-v1", "a2c", "adam", 600, 3, {"n_envs": 5, "hidden": (33, 17)}),
    "CartPole Muon": ("CartPole-v1", "a2c", "muon", 600, 3, {"n_envs": 5, "hidden": (33, 17)}),
    "Pendulum ppo Muon": ("Pendulum-v1", "ppo", "muon:momentum=0.9", 600, 2, {**SMALL, "n_steps": 50, "batch_size": 64}),
    "Acrobot a2c 10 x8": ("Acrobot-v1", "a2c", ASYMMETRIC, 600, 1, {"n_envs": 8, "hidden": (10,)}),
    "Acrobot a2c 64-64 x3": ("Acrobot-v1", "a2c", LINEAR, 500, 1, {"n_envs": 3}),
    "Acrobot reinforce 10 x3": ("Acrobot-v1", "reinforce", "0.99", 600, 1, {"n_envs": 3, "n_steps": 100, "hidden": (10,)}),
    "Acrobot reinforce 64-64 x8": ("Acrobot-v1", "reinforce", SENSITIVE, 600, 1, {"n_envs": 8, "n_steps": 25}),
    "LunarLander a2c": ("LunarLander-v3", "a2c", CUSUM, 400, 3, {"n_envs": 3, "hidden": (10,)}),
    "CartPole ppo 64-64 x8": ("CartPole-v1", "ppo", CUSUM, 800, 3, {"n_steps": 32, "batch_size": 100, "n_epochs": 3}),
    "CartPole ppo 10 x3": ("CartPole-v1", "ppo", SENSITIVE, 400, 3, {**SMALL, "hidden": (10,), "normalize_observations": True}),
    "Acrobot ppo normalised": ("Acrobot-v1", "ppo", LINEAR, 600, 1, {**SMALL, "n_envs": 5, "n_steps": 40, **NORMALIZED}),
    "Pendulum a2c x8": ("Pendulum-v1", "a2c", ASYMMETRIC, 600, 2, {"n_envs": 8}),
    "Pendulum reinforce x3 normalised": (
        "Pendulum-v1",
        "reinforce",
        "0.99",
        900,
        2,
        {"n_envs": 3, "n_steps": 100, **NORMALIZED},
    ),
    "Pendulum ppo Adam": ("Pendulum-v1", "ppo", "adam", 600, 2, {**SMALL, "n_steps": 50, "batch_size": 64}),
    "LunarLanderContinuous ppo": (
        "LunarLanderContinuous-v3",
        "ppo",
        CUSUM,
        500,
        2,
        {**SMALL, "n_steps": 60, "batch_size": 50, "hidden": (9, 7), "normalize_observations": True, "observation_scale": ()},
    ),
    "one observation ppo": ("TestWalk-v0", "ppo", "0.99", 200, 3, {**SMALL, "n_envs": 1, "batch_size": 7, **NORMALIZED}),
    "one environment": ("CartPole-v1", "a2c", "0.99", 400, 1, {"n_envs": 1, "hidden": (10,)}),
    "one step": ("CartPole-v1", "a2c", "0.99", 80, 1, {"n_envs": 1, "n_steps": 1, "hidden": (10,)}),
    "one observation": ("TestWalk-v0", "a2c", "0.99", 600, 3, {"n_envs": 8}),
    "one hidden unit": ("CartPole-v1", "reinforce", "0.99", 2400, 3, {"n_envs": 8, "n_steps": 100, "hidden": (3, 1)}),
    "no hidden layer": ("CartPole-v1", "a2c", "0.99", 600, 3, {"n_envs": 3, "hidden": ()}),
    "several choices a2c": ("Spaces/Buttons-v0", "a2c", CUSUM, 500, 3, {"n_envs": 3, "hidden": (10,)}),
    "several choices ppo": ("Spaces/Switches-v0", "ppo", KL, 300, 3, {**SMALL, "hidden": (9, 7)}),
    "several choices reinforce": ("Spaces/Buttons-v0", "reinforce", "0.99", 600, 3, {"n_envs": 8, "n_steps": 25, "hidden": ()}),
}


IN_PAIRS_TOO = (
    "CartPole a2c 64-64 x8", "CartPole a2c alarms", "CartPole reinforce 10 x8", "CartPole mixture", "CartPole Muon",
    "Acrobot a2c 64-64 x3", "Pendulum ppo Adam", "LunarLanderContinuous ppo", "one hidden unit",
)  # fmt: skip
"""Rows whose run is also trained in a batch of two: each agent, kind of action, width of layers and kind of rule."""


NATIVE_TOO = [
    row for row in (
        "CartPole a2c 64-64 x8", "CartPole a2c alarms", "CartPole reinforce 10 x8", "CartPole mixture", "CartPole policy clock",
        "CartPole Adam", "LunarLander a2c", "CartPole ppo 10 x3", "Pendulum ppo Adam", "Acrobot ppo normalised", "one step",
        "one hidden unit", "no hidden layer", "several choices ppo",
    )
    if "native" in AVAILABLE
]  # fmt: skip
"""Rows that are trained with the compiled kernel as well, whose promise is one run at a time."""


@pytest.mark.parametrize(("row", "kernel"), [*((row, "torch") for row in ROWS), *((row, "native") for row in NATIVE_TOO)])
def test_a_run_alone_equals_itself_in_batches(tmp_path, row, kernel):
    """Silent failure: a result depends on which seeds were trained beside it, so that nobody can reproduce one of them."""
    env_id, agent, rule, steps, episodes, options = ROWS[row]

    def of(name, seeds):
        return trained(tmp_path / name, env_id, agent, rule, seeds, steps, episodes, options, kernel)

    alone, batches = of("alone", (SEED,)), {"7": SEVEN} | ({"2": PAIR} if row in IN_PAIRS_TOO else {})
    for batch, seeds in batches.items():
        files = of(batch, seeds)
        assert [name for name in FILES if files[name] != alone[name]] == [], f"batch of {batch}"
    assert alone["metrics.csv"].count(b"\n") > 2


@pytest.mark.parametrize("kernel", AVAILABLE)
def test_a_run_alone_equals_itself_among_thirty_two_and_its_repetition(tmp_path, kernel):
    """Silent failure: large batches take other code paths (threads, blocked products); something draws from the system."""

    def of(name, seeds):
        return trained(tmp_path / name, "CartPole-v1", "a2c", SENSITIVE, seeds, 2000, 12, {}, kernel)

    alone = of("alone", (SEED,))
    assert of("again", (SEED,)) == alone
    assert of("many", THIRTY_TWO) == alone
    assert read_table(next((tmp_path / "alone").rglob("metrics.csv")))["detector/alarms"][-1] >= 1


def test_runs_with_different_seeds_differ(tmp_path):
    """Silent failure: the tests above compare a run with copies of itself."""
    batch = spec(tmp_path, "CartPole-v1", "a2c", "0.99", PAIR, 500, 3, {"hidden": (10,)})
    train_batch(batch)
    one, other = (files_of(batch, seed) for seed in PAIR)
    assert all(one[name] != other[name] for name in FILES)


def test_another_process_writes_the_same_bytes(tmp_path):
    """Silent failure: the order of a set, which changes from process to process, or the number of threads, is in the result.

    The layers of a batch have more than 32,768 numbers, which torch would divide between three threads at odd places.
    """
    args = ("CartPole-v1", "a2c", SENSITIVE, SEVEN, 300, 3, {"hidden": [64, 70], "n_envs": 3, "n_steps": 45})
    here = trained(tmp_path / "here", *args)
    code = f"""
import torch
from pathlib import Path
from tests.test_batching import spec, train_batch
torch.set_num_threads(3)
train_batch(spec(Path({str(tmp_path / "there")!r}), *{args!r}))
"""
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True)
    there = files_of(spec(tmp_path / "there", *args))
    for name in FILES[:-1]:  # config.json holds the commit, which may change while tests run
        assert there[name] == here[name], name


CAPABILITIES = ["default", *(["avx2", "avx512"] if platform.machine() == "x86_64" else ["sve256"])]


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_run_alone_equals_itself_with_other_vectors_of_the_processor(capability):
    """Silent failure: the promise holds with the vectors that torch takes on this machine, and on no other.

    Torch reads the variable once, so a process of its own runs the tests of operations and trainings of odd widths.
    """
    if capability == torch.backends.cpu.get_cpu_capability().lower():
        pytest.skip("the tests around this one show it")
    root = Path(__file__).parents[1]
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability, "PYTHONPATH": str(root)}
    chosen = "forward or every_place or (itself_in_batches and (Adam or (CartPole and Muon) or mixture or unit))"
    code = f"""
import sys, torch
torch.rand(999).sigmoid()
if torch.backends.cpu.get_cpu_capability().lower() != {capability!r}:
    sys.exit("unknown")
print("known", flush=True)
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", {__file__!r}, "-k", {chosen!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("known"):  # an unknown name, or an illegal instruction
        assert done.returncode < 0 or done.stderr.endswith("unknown\n"), done.stderr[-3000:]
        pytest.skip(f"this processor, or this torch, has no {capability}")
    assert done.returncode == 0, done.stdout[-3000:]


# The operation that batching stands on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(64, 64), (10,), (1,), (3, 1), ()], ids=str)
@pytest.mark.parametrize("O", [1, 2, 4])
@pytest.mark.parametrize("kernel", AVAILABLE)
def test_forward_and_gradient_of_a_run_alone_equal_those_in_a_batch(O, hidden, kernel):  # noqa: E741  # the axes' letters
    """Silent failure: a product with one row or column is another routine for R = 1, and rounds differently."""
    for B in (1, 3, 8, 128, 800):
        for A in (2, 3):
            noise = torch.Generator().manual_seed(B)
            x, weight = torch.randn(3, B, O, generator=noise), torch.randn(3, B, A, generator=noise)
            results = []
            for runs in (slice(0, 3), slice(1, 2)):
                generators = [np.random.default_rng(r) for r in range(3)][runs]
                policy = ActorCritic(O, Categorical(A), hidden, generators, kernel=kernel)
                logits, values = policy.outputs(x[runs].clone()), policy.values(x[runs].clone())
                policy.backward((torch.log_softmax(logits, -1) * weight[runs]).sum((1, 2)) + values.square().sum(1))
                row = 1 if runs.stop == 3 else 0
                results.append([t[row] for t in (logits, values, *(p.grad for p in policy.parameters()))])
            names = ("logits", "values", "actor gradient", "critic gradient")
            different = [name for name, a, b in zip(names, *results, strict=True) if not torch.equal(a, b)]
            assert not different, f"B = {B}, A = {A}"


@pytest.mark.parametrize("A", [1, 2, 3])
@pytest.mark.parametrize("kernel", AVAILABLE)
def test_forward_and_gradient_of_continuous_actions_alone_equal_those_in_a_batch(A, kernel):
    """Silent failure: means and deviations share a tensor, so that gradients reach the last product strided."""
    for B in (1, 3, 8, 128, 800):
        noise = torch.Generator().manual_seed(B)
        x, actions, weight = (torch.randn(3, B, *size, generator=noise) for size in ((4,), (A,), ()))
        results = []
        for runs in (slice(0, 3), slice(1, 2)):
            pi = Gaussian(-np.ones(A), np.ones(A))
            policy = ActorCritic(4, pi, (10,), [np.random.default_rng(r) for r in range(3)][runs], kernel=kernel)
            log_prob, entropy = policy.evaluate_actions(x[runs].clone(), actions[runs].clone())
            policy.backward((log_prob * weight[runs]).sum(1) + entropy.sum(1) + policy.values(x[runs].clone()).sum(1))
            row = 1 if runs.stop == 3 else 0
            results.append([t[row] for t in (log_prob, entropy, policy.actor.theta.grad)])
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True)), f"B = {B}"


@pytest.mark.parametrize("hidden", [(64, 64), (7, 7), (3, 5), (30,), (1, 7), (33, 17)], ids=str)
@pytest.mark.parametrize("B", [5, 24, 136])
@pytest.mark.parametrize("kernel", AVAILABLE)
def test_a_run_is_the_same_at_every_place_of_a_batch(B, hidden, kernel):
    """Silent failure: operands of odd widths lie differently in memory from place to place, and MKL rounds them differently."""
    twins = [np.random.default_rng(9) for _ in range(7)]
    policy = ActorCritic(3, Categorical(3), hidden, twins, kernel=kernel)
    x = torch.randn(1, B, 3, generator=torch.Generator().manual_seed(1)).expand(7, -1, -1).contiguous()
    logits, values = policy.outputs(x), policy.values(x)
    policy.backward(torch.log_softmax(logits, -1).square().sum((1, 2)) + values.square().sum(1))
    for t in (logits, values, *(p.grad for p in policy.parameters())):
        assert [r for r in range(7) if not torch.equal(t[r], t[0])] == []


# By construction, for vectors of any width --------------------------------------------------------------------------------

aten = torch.ops.aten

WITHOUT_ROUNDING = """
    __rshift__ _foreach_copy_ _local_scalar_dense _to_copy _unsafe_view abs abs_ alias all any arange bitwise_and bitwise_not
    bitwise_xor cat clamp clamp_ clone copy_ copysign detach empty empty_like eq expand fill_ full full_like gather ge gt gt_
    index index_copy_ isnan le le_ lift_fresh logical_and_ lt masked_fill masked_fill_ maximum minimum nan_to_num nan_to_num_ ne
    neg neg_ new_empty new_full new_zeros nonzero ones ones_like permute promote_types remainder repeat_interleave scalar_tensor
    scatter_add select sign_ slice slice_backward split squeeze stack transpose unbind unsqueeze view where zeros zeros_like
"""
ROUNDED_CORRECTLY = "_foreach_add_ _foreach_mul_ add add_ div div_ mul mul_ reciprocal reciprocal_ rsub sub sub_"
ALONG_A_RUNS_OWN_AXIS = "_log_softmax _log_softmax_backward_data _softmax baddbmm bmm linalg_vector_norm mean sum"
THE_SAME_AT_EVERY_PLACE = """
    _foreach_addcdiv_ _foreach_addcmul_ _foreach_sqrt addcdiv_ addcmul addcmul_ exp exp_ expm1 lerp lerp_ log log1p log_ pow pow_
    sigmoid_backward sqrt sqrt_
"""
ONLY_ASKED_WHETHER_FINITE = "_foreach_norm"
IN_WHOLE_BLOCKS = "sigmoid_"
KNOWN = set(
    f"{WITHOUT_ROUNDING} {ROUNDED_CORRECTLY} {ALONG_A_RUNS_OWN_AXIS} {THE_SAME_AT_EVERY_PLACE} {ONLY_ASKED_WHETHER_FINITE} "
    f"{IN_WHOLE_BLOCKS}".split()
)


class Inspection(TorchDispatchMode):
    """Looks at every operation of torch while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.wrong: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.namespace == "aten":
            name = function.name().removeprefix("aten::").partition(".")[0]
            self.names.add(name)
            if torch.get_num_threads() != 1:
                self.wrong.append(f"{name} with {torch.get_num_threads()} threads")
            if name == IN_WHOLE_BLOCKS and not (args[0].is_contiguous() and args[0].numel() % BLOCK == 0):
                self.wrong.append(f"{name} of {tuple(args[0].shape)}")
        return function(*args, **kwargs or {})


INSPECTED = [
    "CartPole a2c 10 x3", "CartPole a2c alarms", "CartPole a2c plain", "CartPole reinforce 10 x8", "CartPole mixture",
    "CartPole Adam", "CartPole Muon", "CartPole ppo 10 x3", "Pendulum a2c x8", "Pendulum ppo Adam", "one observation ppo",
    "one hidden unit", "no hidden layer",
]  # fmt: skip


@pytest.mark.parametrize("row", INSPECTED)
def test_no_operation_of_a_training_depends_on_the_width_of_vectors(tmp_path, row):
    """Silent failure: an operation is added that rounds the end of a tensor differently, where this machine's vectors hide it.

    One that is in none of the lists above has to be put in one, for the reason that is the list's name.
    """
    env_id, agent, rule, steps, episodes, options = ROWS[row]
    batch = Batch(spec(tmp_path, env_id, agent, rule, (0, 1, 2), steps, episodes, options))
    inspection, measuring = Inspection(), Inspection()
    torch.set_num_threads(2)
    try:
        with inspection, batch.recorder:
            next(batch.training)
            update = next(batch.training)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
        batch.env.close()
    with measuring:
        update.metrics()
    assert (inspection.names | measuring.names) - KNOWN == set()
    assert "sigmoid_" in inspection.names or not options.get("hidden", True)


@pytest.mark.parametrize("arguments", [row.arguments for row in RULES.values()], ids=RULES)
def test_no_operation_of_a_rule_depends_on_the_width_of_vectors(arguments):
    """The same of every rule, in three runs of two tensors as a training has them."""
    params = [torch.nn.Parameter(torch.randn(3, BLOCK * k)) for k in (1, 3)]
    optimizer = AdaptiveRMSprop(params, runs=3, nonfinite="skip", **arguments)
    inspection = Inspection()
    for n in range(3):
        for p in params:
            p.grad = torch.randn_like(p) * 10.0**n
        optimizer.observe(**dict.fromkeys(optimizer.listens_to & {"td_error", "kl", "episode_return"}, torch.ones(3)))
        with inspection:
            optimizer.step()
    assert inspection.names - KNOWN == set()
    assert inspection.wrong == []


class OtherEnds(TorchDispatchMode):
    """Torch as it is with vectors of another width: what `step` leaves over of a tensor has other last bits in a sigmoid."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **kwargs or {})
        if function.overloadpacket in (aten.sigmoid, aten.sigmoid_):
            end = result.view(-1)[result.numel() // self.step * self.step :]
            end.copy_(torch.nextafter(end, end.new_tensor(2.0)))
        return result


@pytest.mark.parametrize("step", [8, 16, 32, 64, BLOCK])
def test_a_run_alone_equals_itself_in_a_batch_whatever_the_width_of_vectors(step):
    """Silent failure: with vectors of 512 bits the last numbers of a batch are other ones than those of a single run."""
    with OtherEnds(step):
        for hidden in ((10,), (1,), (3, 1), (33, 17), (64, 64)):
            test_forward_and_gradient_of_a_run_alone_equal_those_in_a_batch(4, hidden, "torch")
            test_a_run_is_the_same_at_every_place_of_a_batch(10, hidden, "torch")


def test_rows_of_weights_and_layers_begin_at_whole_blocks_and_cache_lines():
    """Silent failure: rows without a gap between them are one long tensor, whose end depends on the number of runs."""
    for hidden in ((64, 64), (10,), (33, 17), (12, 20), (128,)):
        policy = ActorCritic(4, Categorical(2), hidden, [np.random.default_rng(r) for r in range(3)], kernel="torch")
        for network in (policy.actor, policy.critic):
            assert all(t.stride(0) % BLOCK == 0 for t in (network.theta, network.theta.grad))
            passes = network.passes(5)
            for s in passes._inputs[1:]:
                assert s.is_contiguous()
                assert s.untyped_storage().nbytes() % (4 * BLOCK) == 0
                assert s.stride(0) % 16 == 0


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "exp": lambda a, b, c: a.exp(),
    "exp, strided": lambda a, b, c: torch.stack([a, b], -1)[:, 0].exp(),
    "expm1": lambda a, b, c: a.expm1(),
    "log": lambda a, b, c: a.abs().log(),
    "log1p": lambda a, b, c: a.abs().log1p(),
    "sqrt": lambda a, b, c: a.abs().sqrt(),
    "pow 2": lambda a, b, c: a.pow(2),
    "sigmoid_backward": lambda a, b, c: aten.sigmoid_backward(a, b),
    "lerp": lambda a, b, c: torch.lerp(a, b, 0.013),
    "lerp, weights": lambda a, b, c: torch.lerp(a, b, c.clamp(0, 1)),
    "addcmul": lambda a, b, c: torch.addcmul(a, b, c, value=0.013),
    "addcdiv": lambda a, b, c: torch.addcdiv(a, b, c, value=-0.013),
    "add, alpha": lambda a, b, c: torch.add(a, b, alpha=0.013),
    "numpy log": lambda a, b, c: torch.from_numpy(np.log(a.abs().numpy())),
    "numpy exp": lambda a, b, c: torch.from_numpy(np.exp(a.numpy())),
    "numpy sin": lambda a, b, c: torch.from_numpy(np.sin(a.numpy())),
    "numpy cos": lambda a, b, c: torch.from_numpy(np.cos(a.numpy())),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_round_a_number_the_same_way_at_every_place(name, dtype):
    """Silent failure: the operations that may stand at the end of a tensor round differently there, as the sigmoid does."""
    a, b, c = torch.randn(3, 997, dtype=dtype, generator=torch.Generator().manual_seed(1))
    function = FUNCTIONS[name]
    whole = function(a, b, c)
    for size in (1, 2, 3, 5, 8, 15, 17, 31, 33, 100, 990):
        for start in (0, 1, 5, 7):
            place = slice(start, start + size)
            assert torch.equal(function(a[place].clone(), b[place].clone(), c[place].clone()), whole[place])


def test_one_thread_gives_back_the_others():
    """Silent failure: whoever trains in their own process goes on with one thread for ever after."""

    def fail() -> None:
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError

    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            one_thread()(fail)()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)

"""Presets of published RMSProps: each against the original where it can be installed, by hand from the paper where not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import rl_rmsprop
from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.cli import main
from rl_rmsprop.published import PUBLISHED, presets

UPDATES = 60


def gradients() -> Tensor:
    """[T, N] float32, of several scales."""
    return torch.randn(UPDATES, 5, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 1, 5)


def path(name: str) -> Tensor:
    """θ of AdaptiveRMSprop with a preset, [T, N]."""
    return path_of(AdaptiveRMSprop, **presets(name))


def path_of(kind: type[torch.optim.Optimizer], **arguments: float) -> Tensor:
    """θ of an optimizer, [T, N]."""
    p = Parameter(torch.zeros(5))
    optimizer = kind([p], **arguments)
    steps = []
    for g in gradients():
        p.grad = g.clone()
        optimizer.step()
        steps.append(p.detach().clone())
    return torch.stack(steps)


def test_torch_and_sb3_are_torchs_own() -> None:
    """Silent failure: a default of torch has changed, and the preset is somebody else's."""
    assert torch.equal(path("torch"), path_of(torch.optim.RMSprop))
    assert torch.equal(path("sb3"), path_of(torch.optim.RMSprop, lr=7e-4, alpha=0.99, eps=1e-5))


def test_sb3s_defaults_are_the_presets() -> None:
    """A2C of Stable-Baselines3, as it makes its optimizer."""
    a2c = pytest.importorskip("stable_baselines3").A2C("MlpPolicy", "CartPole-v1", device="cpu")
    (group,) = a2c.policy.optimizer.param_groups
    assert {name: group[name] for name in ("lr", "alpha", "eps", "momentum", "centered")} == {
        name: value for name, value in presets("sb3").items() if name not in ("eps_in_sqrt", "initial_accumulator_value")
    }
    assert a2c.max_grad_norm == 0.5


def test_sb3_tf_is_its_class_and_that_of_baselines() -> None:
    """TensorFlow's RMSProp, by Stable-Baselines3's copy of it."""
    module = pytest.importorskip("stable_baselines3.common.sb2_compat.rmsprop_tf_like")
    expected = path_of(module.RMSpropTFLike, lr=7e-4, alpha=0.99, eps=1e-5)
    for name in ("sb3-tf", "a2c-tf"):
        torch.testing.assert_close(path(name), expected, rtol=1e-5, atol=1e-9)


def test_optax_is_optaxs_own() -> None:
    """Silent failure: the preset has its ε where torch has it."""
    optax = pytest.importorskip("optax")
    transform = optax.rmsprop(1e-3)
    state = transform.init(torch.zeros(5).numpy())
    theta, steps = torch.zeros(5), []
    for g in gradients():
        updates, state = transform.update(g.numpy(), state)
        theta = theta + torch.tensor(updates.__array__().copy())
        steps.append(theta)
    torch.testing.assert_close(path("optax"), torch.stack(steps), rtol=1e-4, atol=1e-8)


def keras_by_hand() -> Tensor:
    """θ by the lines of Keras 3.15's optimizers/rmsprop.py with its defaults, one number at a time in float64, [T, N].

    velocity ← ρ·velocity + (1 − ρ)·gradient²        variable ← variable − lr·gradient / √(velocity + epsilon)
    """
    columns = []
    for column in gradients().double().T.tolist():
        velocity, variable, path = 0.0, 0.0, []
        for gradient in column:
            velocity = 0.9 * velocity + (1 - 0.9) * gradient**2
            variable = variable - 1e-3 * gradient / math.sqrt(velocity + 1e-7)
            path.append(variable)
        columns.append(path)
    return torch.tensor(columns, dtype=torch.float64).T


def test_keras_is_keras_by_hand() -> None:
    """Silent failure: the preset has its ε behind the root, where 1e-7 is 3000 times smaller than inside."""
    torch.testing.assert_close(path("keras").double(), keras_by_hand(), rtol=1e-5, atol=1e-9)


@pytest.mark.filterwarnings("ignore")  # of Keras, while it is imported
def test_keras_is_keras_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras itself with its defaults and gradients handed to it, where it is installed: pip install keras."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "torch":
        pytest.skip("Keras was imported before with another backend")
    variable, optimizer, steps = keras.Variable(torch.zeros(5).numpy()), keras.optimizers.RMSprop(), []
    for g in gradients():
        optimizer.apply([g.clone()], [variable])
        steps.append(variable.value.detach().cpu().clone())
    torch.testing.assert_close(path("keras"), torch.stack(steps), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(torch.stack(steps).double(), keras_by_hand(), rtol=1e-5, atol=1e-9)


def by_hand(name: str) -> list[list[float]]:
    """θ of a preset from its row, one number at a time in float64, ε and E₀ where the row says."""
    row = PUBLISHED[name]
    columns = []
    for column in gradients().double().T.tolist():
        E, m, theta, thetas = row.start, 0.0, 0.0, []
        for g in column:
            E = row.beta * E + (1 - row.beta) * g * g
            m = row.beta * m + (1 - row.beta) * g
            v = E - m * m if row.centered else E
            theta -= row.lr * g / (math.sqrt(v + row.eps) if row.eps_in_sqrt else math.sqrt(v) + row.eps)
            thetas.append(theta)
        columns.append(thetas)
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_is_what_its_row_says(name: str) -> None:
    """Silent failure: an argument is left out, and the default of AdaptiveRMSprop takes its place."""
    torch.testing.assert_close(path(name).double(), torch.tensor(by_hand(name)).double(), rtol=1e-4, atol=1e-7)


def test_the_numbers_of_papers_are_those_of_the_papers() -> None:
    """The ones that no package has: Mnih et al. 2015 (extended data table 1), Mnih et al. 2016, Espeholt et al. 2018."""
    dqn, a3c, impala = presets("dqn-nature"), presets("a3c"), presets("impala")
    assert (dqn["lr"], dqn["alpha"], dqn["eps"], dqn["centered"], dqn["eps_in_sqrt"]) == (2.5e-4, 0.95, 0.01, True, True)
    assert (a3c["alpha"], a3c["eps"], a3c["eps_in_sqrt"], a3c["initial_accumulator_value"]) == (0.99, 0.1, True, 0.0)
    assert (impala["lr"], impala["alpha"], impala["eps"], impala["initial_accumulator_value"]) == (4.8e-4, 0.99, 0.1, 1.0)
    assert PUBLISHED["dqn-nature"].half_life == pytest.approx(13.5, abs=0.05)


def test_a_preset_that_is_not_there_is_answered_with_the_nearest() -> None:
    """A typo must not become torch's defaults."""
    with pytest.raises(ValueError, match=r"preset must be a known one, got 'impalla': did you mean impala\?"):
        rl_rmsprop.presets("impalla")
    arguments = rl_rmsprop.presets("torch")
    arguments["lr"] = 5.0
    assert rl_rmsprop.presets("torch")["lr"] == 1e-2


def test_the_table_shows_every_preset(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`rl-rmsprop presets`."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["presets"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in PUBLISHED)
    assert "5,517 samples" in shown  # 69 updates of 80 steps: A2C of Baselines

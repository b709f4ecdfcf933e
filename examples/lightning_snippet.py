"""Lightning: a critic whose targets grow tenfold half-way, trained by an RMSProp that notices, with curves in TensorBoard.

    pip install 'rl-rmsprop[examples]'
    python examples/lightning_snippet.py
    tensorboard --logdir runs/lightning

Lightning computes the gradient within `optimizer.step`, by a closure; the telemetry listens between the two.
"""

from __future__ import annotations

import argparse
import logging
import warnings

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from rl_rmsprop import AdaptiveRMSprop, OptimizerTelemetry
from rl_rmsprop.telemetry.watch import Alarm


class Critic(lightning.LightningModule):
    """A small network that predicts a return from an observation."""

    def __init__(self, beta: str) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
        self.optimizer = AdaptiveRMSprop(self.network.parameters(), lr=3e-3, alpha=beta, eps=1e-5)
        self.telemetry = OptimizerTelemetry(self.optimizer, every=10)
        self.alarms: list[int] = []
        self.telemetry.watch("cusum:arl=10000,signal=grad_norm", callback=self.alarmed)

    def configure_optimizers(self) -> AdaptiveRMSprop:
        """The optimizer."""
        return self.optimizer

    def alarmed(self, alarm: Alarm) -> None:
        """A detector says that the gradients have shifted."""
        self.alarms.append(self.global_step)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of one update."""
        observation, target = batch
        return nn.functional.mse_loss(self.network(observation).squeeze(-1), target)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """After an update: a point of every curve, every tenth time."""
        assert isinstance(self.logger, TensorBoardLogger)
        self.telemetry.log(self.logger.experiment, self.global_step)


def returns(steps: int, batch_size: int = 32) -> TensorDataset:
    """Observations and returns; half-way the reward is paid tenfold."""
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(steps * batch_size, 4, generator=generator)
    target = observation.sin().sum(-1) + 0.3 * torch.randn(len(observation), generator=generator)
    target[len(target) // 2 :] *= 10
    return TensorDataset(observation, target)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="updates")
    parser.add_argument(
        "--beta", default="cusum:arl=50000,max=0.99", help="β rule: a number, or one that `rl-rmsprop rules` lists"
    )
    parser.add_argument("--log-dir", default="runs", help="folder for TensorBoard")
    args = parser.parse_args()

    lightning.seed_everything(1, verbose=False)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    critic = Critic(args.beta)
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=TensorBoardLogger(args.log_dir, name="lightning"),
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(critic, DataLoader(returns(args.steps), batch_size=32))
    print(f"{trainer.global_step} updates; the reward changed after {args.steps // 2}; alarms after {critic.alarms}")


if __name__ == "__main__":
    main()

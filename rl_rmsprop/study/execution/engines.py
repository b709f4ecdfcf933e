"""Where a study is trained, by name: from the command line, a study file, or Python."""

from __future__ import annotations

from collections.abc import Sequence

from rl_rmsprop.study.execution.executor import Executor
from rl_rmsprop.study.execution.local_pool import CHECKPOINT_EVERY, Pool, default_workers
from rl_rmsprop.study.spec.names import EngineName


def make_executor(
    engine: EngineName = "local",
    workers: int | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    address: str | None = None,
    slurm: Sequence[str] = (),
    imports_main: bool = True,
) -> Executor:
    """An executor for `run_study`; whoever makes it closes it.

    Args:
        engine: `local`, processes of this machine; `ray`, a cluster of Ray's; `slurm`, jobs of Slurm's.
        workers: how many batches are trained at a time, at most; by default as many as there are cores. Slurm's own is array.
        checkpoint_every: seconds between checkpoints of a batch.
        address: of the cluster, HOST:PORT, or `auto` for the one that this machine is part of; by default a private one is
            started on this machine, and ended by `close`.
        slurm: options of sbatch for Slurm's jobs, KEY=VALUE; array=N is how many run at a time.
        imports_main: whether local workers import the script that started them; see `Pool`.

    >>> make_executor(workers=2).workers
    2
    """
    if engine == "ray":
        from rl_rmsprop.study.execution.ray_executor import RayExecutor

        return RayExecutor(address, workers, checkpoint_every)
    if engine == "slurm":
        from rl_rmsprop.study.execution.slurm_executor import SlurmExecutor

        return SlurmExecutor(slurm, checkpoint_every)
    return Pool(workers or default_workers(), checkpoint_every, imports_main)

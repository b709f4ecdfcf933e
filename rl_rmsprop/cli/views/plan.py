"""What `rl-rmsprop plan` shows: the rate of each environment, and a row for each number of cores."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rl_rmsprop.study import plan
from rl_rmsprop.study.execution.local_pool import default_workers
from rl_rmsprop.study.execution.memory_estimate import gigabytes
from rl_rmsprop.study.spec.study import Study


def show(study: Study, cores: Sequence[int], seconds: float, console: Console) -> None:
    """Measure, predict and print."""
    rates = {}
    for env_id in study.env_ids:
        with console.status(f"measuring {env_id}"):
            rates[env_id] = plan.measure(study, env_id, seconds)
    plans = [plan.predict(study, rates, count) for count in cores or (default_workers(),)]
    console.print(f"{plans[0].steps:,} environment steps, trials of tuning and matching included")
    rate_table = Table("environment", "one run", f"{plan.SEVERAL} runs", "start", title="steps/s of one core here")
    for env_id, rate in rates.items():
        agent = study.agent_in(env_id)
        steps = agent.n_envs * agent.n_steps
        of_each = (f"{runs * steps / rate.iteration.at(runs):,.0f}" for runs in (1, plan.SEVERAL))
        rate_table.add_row(env_id, *of_each, f"{rate.start.at(1):.2f} s")
    console.print(rate_table)
    table = Table("cores", "time", "busy", "longest batch", "memory", "disk", title="predicted")
    for predicted in plans:
        table.add_row(
            f"{predicted.cores:,}", duration(predicted.seconds), f"{predicted.busy:.0%}", duration(predicted.longest),
            gigabytes(predicted.memory), gigabytes(predicted.disk),
        )  # fmt: skip
    console.print(table)


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(42), duration(600), duration(20_000), duration(400_000)
    ('42 s', '10 min', '5.6 h', '4.6 d')
    """
    for unit, size, decimals in (("d", 86_400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{decimals}f} {unit}"
    return f"{seconds:.0f} s"

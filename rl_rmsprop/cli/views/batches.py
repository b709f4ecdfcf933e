"""What `--dry-run` shows: the batches that a study is cut into, and the script that Slurm would be given."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from rl_rmsprop.cli.options import WorkerOptions
from rl_rmsprop.study.execution import engines
from rl_rmsprop.study.execution.pipeline import unfinished
from rl_rmsprop.study.execution.slurm_executor import SlurmExecutor
from rl_rmsprop.study.spec.names import STUDY_FILE
from rl_rmsprop.study.spec.study import Study


def show(study: Study, workers: WorkerOptions, console: Console) -> None:
    """Print them; nothing is made, and no cluster is asked."""
    executor = engines.make_executor(workers.engine, workers.workers, workers.checkpoint_every, workers.address, workers.slurm)
    if not (study.folder / STUDY_FILE).is_file():
        study = study.cut_for(executor.workers)
    batches = [rest for spec in study.batches() if (rest := unfinished(spec))]
    table = Table("environment", "arm", "seeds", "steps", title=f"{len(batches)} batches, {executor.workers} at a time")
    for spec in batches:
        seeds = f"{spec.seeds[0]} … {spec.seeds[-1]}" if len(spec.seeds) > 1 else str(spec.seeds[0])
        table.add_row(spec.env_id, spec.arm.text, seeds, f"{spec.total_steps:,}")
    console.print(table)
    if study.tune:
        alone = sum(not arm.control_of for arm in study.arms)
        runs = len(study.env_ids) * alone * study.tune * len(study.tune_seeds)
        console.print(f"before them {runs:,} trials of tuning: {study.tune} draws × {len(study.tune_seeds)} seeds for each arm")
    if batches and isinstance(executor, SlurmExecutor):
        print(executor.script(study, len(batches)))

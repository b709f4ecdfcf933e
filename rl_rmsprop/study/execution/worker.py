"""The body of a worker process: it does one task, reports how far it is, and last how it ended."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import traceback
from contextlib import nullcontext, suppress
from multiprocessing.connection import Connection
from typing import Any

import envs
from rl_rmsprop.storage import atomic
from rl_rmsprop.study.execution.executor import DiskFailed, Ended, Failed, Task, WorkerLost
from rl_rmsprop.study.training.monitor import Monitor, Note, Progress, Stopped


def work(task: Task, pipe: Connection, checkpoint_every: float, cores: int = 1) -> None:
    """Do a task in this process, and send progress and outcome through the pipe.

    torch has one thread; environments that can be stepped in threads have as many as there are cores.
    """
    import torch

    torch.set_num_threads(1)
    envs.set_num_threads(cores)

    sending = threading.Lock()  # notes about environments come from another thread

    def send(report: Progress | Note) -> None:
        return_freed_memory()
        with sending:
            pipe.send(report)

    def tell(line: str) -> None:
        with suppress(OSError):  # the driver has ended
            send(Note(f"{task.label}: {line}"))

    monitor = Monitor(send, checkpoint_every)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal or notebook sends it to all processes: the driver answers it
    signal.signal(signal.SIGTERM, lambda *_: setattr(monitor, "stopping", True))
    end_with_the_driver()
    with envs.watching(tell):
        result = outcome(task, monitor)
    with suppress(OSError):  # the driver has ended
        pipe.send(result)


def outcome(task: Task, monitor: Monitor, detached: bool = False) -> Any:
    """Do a task; returns how it ended.

    It shares the lock that its driver has on the study's folder, so that no other driver comes before it has ended; unless it
    is `detached`: a driver may leave then, and come back.
    """
    try:
        with nullcontext() if detached else atomic.Lock(task.study_folder, shared=True):
            return Ended(tuple(task.run(monitor)))
    except Stopped:
        return WorkerLost("it was stopped")
    except MemoryError as error:
        return WorkerLost(f"out of memory {error}".rstrip())
    except (BrokenPipeError, BlockingIOError):
        return WorkerLost("another driver has taken its place")
    except atomic.Unwritable as error:
        return DiskFailed(error.errno or 0, str(error.strerror), str(error.filename))
    except BaseException as error:  # the study goes on without this batch, and says why; SystemExit of a simulator too
        return failure(task, error)


def failure(task: Task, error: BaseException) -> Failed:
    """What failed, with its traceback in a file."""
    with suppress(OSError):  # a full disk may be the very reason
        task.error_file.parent.mkdir(parents=True, exist_ok=True)  # the failure may have come before anything was written
        task.error_file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return Failed(f"{type(error).__name__}: {' '.join(str(error).split())}")


def end_with_the_driver() -> None:
    """End this process when the one that waits for it has ended, however that came."""
    driver = multiprocessing.parent_process()
    if driver is None:
        return

    def wait_for_driver() -> None:
        driver.join()
        os._exit(1)

    threading.Thread(target=wait_for_driver, daemon=True).start()


def return_freed_memory() -> None:
    """Hand freed memory back to the system, where the C library is glibc; elsewhere there is nothing to do.

    Tensors and the small objects of a simulator share a heap with holes between them that glibc keeps: a worker in
    LunarLander grew by 12 MB every 50,000 environment steps. One call takes half a millisecond; the settings that make
    glibc do it by itself slow the large batches of CartPole by a third (mallopt(3): M_MMAP_THRESHOLD).
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)

"""What the exit code of the command line says; 0 is done."""

BAD_INPUT = 2
"""What was asked for makes no sense, explained in one line; nothing was created."""
SOME_FAILED = 3
"""Some runs failed, `doctor` found a problem, or `study verify` a run that is not as it was recorded."""
IO_FAILED = 74
"""A file could not be written or read."""
STOPPED = 75
"""A study was stopped by a signal; `resume` continues it."""
INTERRUPTED = 130
"""Ctrl-C, where no study was running."""
READER_GONE = 141
"""The reader of the output has gone, as `head` does."""

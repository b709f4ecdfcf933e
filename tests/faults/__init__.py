"""What is promised about faults, tried out: `python -m tests.faults` prints the table, `--quick` a short version of it.

Each module breaks one kind of thing and returns rows; a part of each is run by the tests as well.
"""

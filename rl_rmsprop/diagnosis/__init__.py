"""What is installed, what the machine offers, and whether it will work: for `rl-rmsprop doctor`.

finding      one line of it: OK, a note, or a problem, with its remedy
software     versions, extras, the compiled kernel, packages `agents` and `envs` of others
hardware     cores, memory, threads, GPU, disk, folders, the terminal
sameness     a run alone and the same run in a batch, trained for a moment
examination  all of them, in order

Nothing here is imported by trainings, and nothing heavy before the check that needs it.
"""

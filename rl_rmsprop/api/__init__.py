"""Studies from Python: the command line's, from numbers, rules and lists instead of words.

    compare(env=…, betas=…)    arguments → the options of `rl-rmsprop compare` → the same study, folder and report
    load("runs/demo")          any study's folder → TrainedStudy

compare          the call                        arguments   Python's values → the values of options
training         a study → its runs, from here   progress    how far it is, in a notebook too
trained_study    what came out                   runs        one run's files; tables
curves, figures  over the training               difference  two arms on the same seeds
policy           a trained agent that acts, and plays in a window
"""

from rl_rmsprop import companions

companions.check()

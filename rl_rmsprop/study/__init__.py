"""Studies: arms × environments × seeds, from their description to their report.

All of it stands on the packages `agents` and `envs`; whether those are rl-rmsprop's is checked before anything of it is imported.
"""

from rl_rmsprop import companions

companions.check()

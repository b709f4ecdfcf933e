"""Tries the engines on the real things: Ray on machines made of namespaces, and a slurmctld of one's own. `make engines`."""

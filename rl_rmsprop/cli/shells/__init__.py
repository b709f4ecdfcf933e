"""Completion of command lines: a script for each shell, made from the verbs and their options.

words    what can stand where: verbs, options, and values of options
bash, zsh, fish    the scripts
"""

"""Completion of command lines: a script for each shell, made from the verbs and their options.

words    what can stand where: verbs, options, and values of options
cases    the same as bash and zsh read it    bash, zsh, fish    the scripts
"""

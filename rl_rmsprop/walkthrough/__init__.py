"""The numbers of the post ("RMSProp", Mohammed Vasim, 2026) computed again: what `rl-rmsprop walkthrough` prints.

    E ← βE + (1−β)g²      w ← βw + (1−β)      θ ← θ − lr · g / (√Ê + ε)      Ê = E (the post), or E/w (bias correction)

Two parameters receive five gradients that do not depend on θ, so a whole trace is a few array operations: axes [T, P], T = 5
updates, P = 2 parameters. The post calls the parameters w₁, w₂; here they are θ, since w is the weight that E has received.

Three parts: equations.py, the update and its relatives; printed.py, the numbers that the post prints, as quotations, each
compared with its right value; page.py, the text. All arithmetic is float64.
"""

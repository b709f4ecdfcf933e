"""The looks of the HTML page and of the figures in it."""

from __future__ import annotations

NARROW = "(max-width: 480px)"
"""A phone's screen."""

STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --blue: #0077bb; --orange: #c55a00; }
@media (prefers-color-scheme: dark) { :root { --blue: #56b4e9; --orange: #ffa14a; } body { background: #161616; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; } h1, h2, h3, li, p, figcaption { overflow-wrap: anywhere; }
a { color: var(--blue); } nav { font-size: .9rem; } nav ul, .cautions ul { margin: .2rem 0; }
.finding, .cautions { margin: 1rem 0; padding: .6rem 1rem; border-left: 4px solid var(--blue); background: var(--soft); }
.finding { font-size: 1.1rem; } .cautions { border-color: var(--orange); }
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; white-space: normal; min-width: 3.2rem; }
.word { text-align: left; } tbody tr:hover { background: var(--soft); }
td.word:first-child { max-width: 26rem; overflow: hidden; text-overflow: ellipsis; }
figure { margin: 1rem 0; } figcaption { font-size: .85rem; } figure img { display: block; width: 100%; }
.chip { width: 22px; height: 10px; margin-right: .5rem; vertical-align: middle; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .6rem 1rem; background: var(--soft); font-size: .85rem; }
ul { padding-left: 1.3rem; }
@media (max-width: 480px) {
thead { display: none; } table, tbody, tr, td, td.word:first-child { display: block; max-width: none; white-space: normal; }
tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
td, .word { display: flex; justify-content: space-between; gap: 1rem; padding: .15rem .2rem; border: 0; text-align: right; }
td::before { content: attr(data-name); flex: none; max-width: 50%; text-align: left; opacity: .7; }
td span { overflow-wrap: anywhere; } tr td.word:first-child { display: block; text-align: left; font-weight: 600; }
tr td.word:first-child::before { content: none; }
}
"""

FRAGMENT_STYLE = """
.rl-rmsprop .chip { width: 22px; height: 10px; margin-right: .5rem; vertical-align: middle; display: inline-block; }
.rl-rmsprop .finding { padding: .4rem 1rem; border-left: 4px solid #0077bb; }
.rl-rmsprop .cautions { padding: .4rem 1rem; border-left: 4px solid #c55a00; font-size: .9em; }
.rl-rmsprop .scroll { overflow-x: auto; } .rl-rmsprop .word { text-align: left; }
"""
"""Of a piece of the page in somebody else's: a notebook's cell."""

DARK_FIGURE = """<style>@media (prefers-color-scheme: dark) {
svg { fill: #ddd; } [style*="fill: #ffffff"] { fill: #161616 !important; } [style*="fill: #000000"] { fill: #ddd !important; }
[style*="stroke: #000000"] { stroke: #ddd !important; } [style*="stroke: #4c4c4c"] { stroke: #aaa !important; }
[style*="fill: #595959"] { fill: #bbb !important; } [style*="stroke: #b0b0b0"] { stroke: #777 !important; }
}</style>"""
"""Put into a figure, turns its paper dark and its ink light on dark screens; the arms keep their colours."""

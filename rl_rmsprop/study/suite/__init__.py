"""A reference study of many studies ("tasks"): from their folders to small tables, and from the tables to everything on its page.

    folders of studies → collecting → tasks.csv, results.csv, draws.csv → page → tables/, figures/, numbers.md
                                                    ↓
                                     verification: random runs trained anew

A task is one study: an agent in one environment that stays as it is or changes, with the same arms as all other tasks. The three
tables are all that the page needs: folders of runs can be deleted, or lie on another machine.

    schema      the tables, a row of each as a tuple       scales        what a return of 0 and of 1 is, per environment
    survival    whether a run survived a change            collecting    folders → tables
    families    arms by what sets their β                  suite         tables → normalised scores
    versus      two arms, or families, over tasks          hypotheses    H1 – H7, each with its interval and verdict
    sensitivity what tuning says: lr, Φ, variance          responses     after changes: survival, recovery, delays
    figures, numbers, page                                 verification  cells trained anew
"""

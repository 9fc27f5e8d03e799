"""Studies that take several runs. In reading order:

statistics    how far apart two sets of losses are, and how certain that is
identity      what a run's numbers depend on, and how two runs differ in it
worker        one run, wherever it is trained
processes     workers on this machine, one process each
cluster       workers on many machines, with Ray
progress      the progress line for a set of runs
runs          many runs: one after another, several at once, or on a cluster
seeds         a step, or the public recipe, under several seeds
ladder        one change at a time, each compared with the rung below it
trials        the settings that a search begins with, and those it draws
search        settings tuned together, with Optuna
titles        two published runs compared, title by title
counting      step four: what network and counts are worth, apart and together
context       step five: each part of what the model is told, and a control
reference     the challenge's baseline written a second time, plainly, to test `lib` against
bench         tokens per second, compared with that plain loop
sizes         what each step gains, from preset to preset
peers         what others report, divided by the coverage of their evaluation
"""

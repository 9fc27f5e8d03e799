"""Many runs of one thing. In the order one reads:

statistics    how far two sets of losses are apart, and how surely
identity      which run a run will be, and what differs
worker        one run, wherever it is trained
processes     workers on this machine, each in a process
cluster       workers on many machines, with Ray
progress      the line for all of many runs
runs          many runs, wherever they happen
seeds         a step, or the public recipe, under several seeds
ladder        one change at a time, each against the rung below it
trials        which settings a search tries first, and between which it draws
search        settings tuned together, with Optuna
titles        two published runs beside each other, title by title
counting      step four: what network and counts are worth apart and together
context       step five, each part of what it knows, and a control
reference     the challenge's baseline a second time, plainly: what `lib` is tested against
bench         tokens per second, beside that plain loop
sizes         what each step gains, from preset to preset
peers         what others report, divided by its coverage
"""

"""Many runs of one thing. In the order one reads:

statistics    how far two sets of losses are apart, and how surely
seeds         a step, or the public recipe, under several seeds
ladder        one change at a time, each against the rung below it
search        settings tuned together, with Optuna
context       step four, each part of what it knows, and a control
bench         tokens per second, beside a plain loop
peers         what others report, divided by its coverage
"""

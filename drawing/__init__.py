"""What is drawn and set for a notebook to show. In the order one reads:

style     the look of all figures, a step's colour, how a figure is written
text      titles coloured by loss, samples, windows of tokens
tables    settings that changed, what a run came to, steps, ladder
curves    losses over epochs, words, batches
bars      the likeliest next tokens, the most frequent ones
rows      a row for each loss: arms, pairs, seeds, the ladder
counting  step four: network and counts apart and mixed, what the counts knew
context   step five: gains, sites, first words, what is left
tryit     the widget of the page *Try it*
"""

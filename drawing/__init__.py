"""Figures, tables and text for a notebook to show. In reading order:

style     the look of all figures, a step's colour, how a figure is written
text      titles coloured by loss, samples, windows of tokens
tables    changed settings, a run's results, the steps, the ladder
curves    losses over epochs, words and batches, gains over presets
bars      the likeliest next tokens, the most frequent tokens
rows      a row for each loss: arms, pairs, seeds, the ladder
counting  step four: network and counts apart and mixed, what the counts knew
context   step five: gains, sites, first words, what a headline still costs
tryit     the widget of the page *Try it*
"""

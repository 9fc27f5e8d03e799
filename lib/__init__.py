"""The shared package of Seven Epochs: what every notebook of the book imports.

One idea per module, imports pointing one way, in this order:
config → data → tokenizer → batches → model → optim → evaluate → checkpoint → train → predictions →
record → seeds → ladder → search → tables → figures → comparisons → compression → colab → site →
book → the command line, `python -m lib --help`.
"""

"""The book as a whole. In the order one reads:

contents      the table of contents: which pages and notebooks there are
repository    where the book lies on GitHub, for the links that plugins/pages.mjs makes
finished      what was executed before, and what it left
progress      how far the training of a notebook has come
mirror        the book's own files in the folder of a run
run           the notebooks executed, in a folder of their own
publish       what a run left, put over the book's own notebooks, figures and records
export        the models of the page Try it, from the weights that a run left
checks        what is broken in a site that was built
site          the pages rendered by MyST, checked, previewed

The command line is `python -m book --help`.
"""

"""The book as a whole. In reading order:

contents      the table of contents: pages, notebooks, and the preset that each shows
repository    the book's repository on GitHub, for the links that plugins/pages.mjs makes
finished      which notebooks were executed before, and what they left
progress      how far the training of the running notebook is
mirror        the book's own files, copied into the folder of a run
run           the notebooks executed, in a folder of their own
publish       a run copied over the book's own notebooks, figures and records
export        the models of the page Try it, from the weights that a run left
checks        what is broken in a built site
site          the pages rendered by MyST, checked and previewed

The command line is `python -m book --help`.
"""

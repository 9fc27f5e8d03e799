"""What a notebook imports to train and to measure. In reading order:

steps         data only: what each step changes, what the recipes and the ladder try
config        every setting of a run, the four presets, `load_step`
synthetic     made-up headlines, for `smoke` and the tests
readers       a file of headlines → a column of titles
origins       where a story comes from: its site, year and month
data          stories → titles → split
casing        capitals as marks, and back
tokenizer     titles → tokens, five kinds
batches       tokens → windows → batches
context       what a model is told about a title before reading it
counts        counted n-grams, mixed with a network's predictions
dropout       dropout from few random bits
model         the decoder
objective     what training minimises: cross-entropy, R-Drop
optim         optimizers, Muon, and the learning-rate schedules
evaluate      the losses
identity      what a run's numbers depend on
device        CPU or GPU, its precision and memory
checkpoint    how a run that was killed continues
watch         what a run prints as it trains
train         the training loop
predictions   what a model predicts and writes
details       what the figures show of a model, kept beside its record
compare       which records can be compared
export        the weights in 8 bits, for the browser
record        the run record, and the weights beside it
published     the records that come with the book
compression   how well xz and PPMd compress titles
files         files written whole or not at all, read, checked
colab         the setup of a notebook in Colab
"""

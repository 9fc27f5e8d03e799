"""What a notebook imports to train and to measure. In the order one reads:

steps         what each step changes, what the recipes and the ladder try: data
config        every setting of a run, the four presets, `load_step`
synthetic     made headlines, for `smoke` and the tests
readers       a file of headlines → a column of titles
origins       where a story comes from: its site, year and month
data          stories → titles → split
casing        capitals as marks, and back
tokenizer     titles → tokens, five kinds
batches       tokens → windows → batches
context       what a model is told of a title before it
counts        n-grams that are counted, mixed with what a network expects
dropout       from few random bits
model         the decoder
objective     what is minimised: cross-entropy, R-Drop
optim         optimizers, Muon, and the learning-rate schedules
evaluate      the losses
identity      what a run's numbers depend on
device        CPU or GPU, its precision and memory
checkpoint    a run that was killed continues
watch         what a run says while it goes on
train         the loop
predictions   what a model expects and writes
details       what is drawn of a model, kept beside its record
compare       which records compare
export        the weights in 8 bits, for the browser
record        the run record, and the weights beside it
published     the records that come with the book
compression   what xz and PPMd make of titles
files         written whole or not at all, read, checked
colab         the setup of a notebook in Colab
"""

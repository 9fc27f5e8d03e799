"""What each step changes in the one before it, and what was tried along the way: data only.

Names and values are those of `lib.config.Config`; `vocab_factor` multiplies the vocabulary size.
`lib.config.load_step` turns them into a configuration, so that each step runs on each preset; `on`
holds what a step changes on one preset only. A new step goes at the end of STEPS. In the book,
02_adamw is step one, 03_rope_vocab step two, 04_lowest_loss step three, 05_counting step four and
06_context step five.
"""

STEP_TWO_VOCAB = {
    "tokenizer": "sp_bpe",
    "tokenizer_titles": "train",
    "vocab_factor": 2,
}

# What runs on `small` found for step three there, and what it has on `full` from the start: with
# fewer training tokens per parameter, a model on `full` should memorise no less.
LESS_MEMORISED = {"r_drop": 3.0, "attention_dropout": False}

STEPS = {
    "01_baseline": {"title": "Baseline", "changes": {}},
    "02_adamw": {
        "title": "AdamW",
        "changes": {
            "optimizer": "adamw",
            "learning_rate": 5e-4,
            "betas": (0.9, 0.95),
        },
    },
    "03_rope_vocab": {
        "title": "RoPE + vocabulary",
        "changes": {
            "position": "rope",
            "norm": "rmsnorm",
            "betas": (0.9, 0.99),
            "weight_decay": 0.1,
            **STEP_TWO_VOCAB,
        },
    },
    # As the ladder left it, but with twice its R-Drop, and half its vocabulary.
    "04_lowest_loss": {
        "title": "Muon, title by title",
        "changes": {
            "optimizer": "muon",
            "muon_learning_rate": 0.02,
            "muon_weight_decay": 0.1,
            "learning_rate": 3e-3,
            "weight_decay": 0.0,
            "schedule": "wsd",
            "warmup": 0.05,
            "decay": 0.4,
            "tokenizer": "sp_bpe_case",
            "vocab_factor": 0.125,
            "title_mask": True,
            "windows": "titles",
            "gate": "channel",
            "batch_factor": 0.5,
            "r_drop": 1.0,
        },
        "on": {"full": LESS_MEMORISED},
    },
    "05_counting": {"title": "Counted n-grams", "changes": {"counts": 0.2}},
}

# Step five: step three, told where a story comes from before its headline. It is not one of
# STEPS: a model that sees more than titles cannot be ranked with them, and no step builds
# on it. On `smoke` it only has to run, not to learn: one epoch of a few steps.
CONTEXT = {
    "notebook": "06_context",
    "title": "More context",
    "from": "04_lowest_loss",
    "smoke": {
        "epochs": 1,
        "evals_per_epoch": 1,
        "n_layer": 1,
        "r_drop": 0.0,
        "batch_factor": 4.0,
    },
    "arms": {
        "titles": {"title": "titles alone", "sees": ()},
        "all": {"title": "site and date", "sees": ("domain", "time")},
        "domain": {"title": "site only", "sees": ("domain",)},
        "time": {"title": "date only", "sees": ("time",)},
        "exchanged": {
            "title": "site and date, exchanged",
            "sees": ("domain", "time"),
            "exchanged": True,
        },
    },
}

# The best public result, https://github.com/arshchawla21/mainrun: sweep 15 of 23 June
# 2026, muon_weight_decay 0.1, setting by setting from its config.json and its code. Depth,
# width and vocabulary are the preset's, and a step has half of the preset's tokens: on `full`,
# the recipe's vocabulary of 16,000 and its 4,096 tokens a step. Its own 12 layers are
# PUBLIC_BEST_OWN, on `full` only. All else matches to a step, as its warm-up and decay are
# whole numbers of steps, or to a digit (`lib/tokenizer.py`).
PUBLIC_BEST, PUBLIC_BEST_OWN = "public_best", "public_best_own"
# With what a search on `small` found for it there, each value to two digits.
PUBLIC_BEST_TUNED = "public_best_tuned"
# No public recipe, but step three with what a search on `small` found for it.
LOWEST_TUNED = "lowest_loss_tuned"
RECIPES = {
    PUBLIC_BEST: {
        "title": "Best public recipe",
        "from": "01_baseline",
        "changes": {
            "tokenizer": "unigram",
            "tokenizer_titles": "train+val",
            "position": "rope",
            "norm": "rmsnorm",
            "bias": False,
            "title_mask": True,
            "gate": "head",
            "layer_scale": 0.1,
            "block_factor": 2,
            "batch_factor": 0.25,
            "dropout": 0.2,
            "attention_dropout": False,
            "r_drop": 2.0,
            "optimizer": "muon",
            "muon_learning_rate": 0.01,
            "muon_weight_decay": 0.1,
            "learning_rate": 3e-4,
            "betas": (0.9, 0.999),
            "weight_decay": 0.01,
            "schedule": "wsd_sqrt",
            "warmup": 0.05,
            "decay": 0.1,
        },
    },
    PUBLIC_BEST_TUNED: {
        "title": "Best public recipe, tuned here",
        "from": PUBLIC_BEST,
        "changes": {
            "muon_learning_rate": 0.02,
            "learning_rate": 1e-3,
            "muon_weight_decay": 0.1,
            "dropout": 0.08,
            "r_drop": 5.0,
            "decay": 0.4,
        },
    },
    LOWEST_TUNED: {
        "title": "Muon, title by title, tuned here",
        "from": "04_lowest_loss",
        "changes": LESS_MEMORISED,
    },
    PUBLIC_BEST_OWN: {
        "title": "Best public recipe, 12 layers",
        "from": PUBLIC_BEST,
        "changes": {"n_layer": 12},
    },
}

# The ladder's rungs, in order: each is tried on top of those that were kept before it.
LADDER = {"from": "03_rope_vocab", "to": "04_lowest_loss"}
LEVERS = {
    "rate": {
        "title": "four times AdamW's rate",
        "why": "step one's 5e-4 was chosen for a larger model; of six rates this was best on "
        "tiny, by one seed",
        "changes": {"learning_rate": 2e-3},
    },
    "muon": {
        "title": "Muon",
        "why": "a matrix is moved in all its directions alike, and so learns more from each step",
        "changes": {
            "optimizer": "muon",
            "muon_learning_rate": 0.02,
            "muon_weight_decay": 0.1,
            "learning_rate": 3e-3,
            "weight_decay": 0.0,
        },
    },
    "wsd": {
        "title": "warm-up, stable, decay",
        "why": "the learning rate stays high for longer, then falls to zero",
        "changes": {"schedule": "wsd", "warmup": 0.05, "decay": 0.4},
    },
    "vocabulary": {
        "title": "half the vocabulary",
        "why": "fewer tokens are each seen more often",
        "changes": {"vocab_factor": 0.5},
    },
    "unigram": {
        "title": "unigram tokenizer",
        "why": "it cuts titles into likelier pieces than BPE's merges; others saw it win "
        "at every size",
        "changes": {"tokenizer": "sp_unigram"},
    },
    "mask": {
        "title": "attention within a title",
        "why": "other titles say nothing about this one, and are noise to attend to",
        "changes": {"title_mask": True},
    },
    "shuffle": {
        "title": "whole titles, shuffled",
        "why": "no title is cut, and every epoch has other batches",
        "changes": {"windows": "titles"},
    },
    "gate": {
        "title": "gated attention",
        "why": "a head can keep silent where it has nothing to add",
        "changes": {"gate": "channel"},
    },
    "r_drop": {
        "title": "R-Drop",
        "why": "two dropouts must agree, which regularises where seven epochs start to memorise",
        "changes": {"r_drop": 0.5},
    },
    "tokens": {
        "title": "half the tokens a step",
        "why": "seven epochs are few steps: twice as many, each on less, should get further",
        "changes": {"batch_factor": 0.5},
    },
    "vocabulary_again": {
        "title": "half the vocabulary again",
        "why": "what helped once may help twice",
        "changes": {"vocab_factor": 0.5},
    },
    "case": {
        "title": "inline casing",
        "why": "capitals become marks: a word has the same tokens however it is written, "
        "learned once",
        "changes": {"tokenizer": "sp_bpe_case"},
    },
    "ema": {
        "title": "averaged weights",
        "why": "the mean of the last fifty steps or so lies nearer to where they are all going",
        "changes": {"ema": 0.98},
    },
}

# What `search` tunes jointly, by the step or recipe whose settings it starts from. A pair is
# a range, with "log" if it is searched on a log scale; a list holds the allowed choices. A name
# that ends in _factor multiplies the step's own value, so that one search serves every preset.
# Depth and width are the preset's own. The public recipe is searched too, to give it the chance
# that step three had on a small preset.
SEARCHES = {
    "04_lowest_loss": {
        "muon_learning_rate": (0.005, 0.08, "log"),
        "learning_rate": (1e-3, 2e-2, "log"),
        "muon_weight_decay": (0.03, 3.0, "log"),
        "dropout": (0.0, 0.3),
        "attention_dropout": [False, True],
        "r_drop": (0.5, 8.0, "log"),
        "decay": (0.2, 0.9),
        "layer_scale": [0.0, 0.1],
        "batch_factor": [0.5, 1.0, 2.0],
        "vocab_factor": [0.5, 1.0, 2.0],
    },
    PUBLIC_BEST: {
        "muon_learning_rate": (0.0025, 0.04, "log"),
        "learning_rate": (1e-4, 1e-2, "log"),
        "muon_weight_decay": (0.03, 3.0, "log"),
        "dropout": (0.05, 0.4),
        "r_drop": (0.5, 8.0, "log"),
        "decay": (0.1, 0.8),
    },
}

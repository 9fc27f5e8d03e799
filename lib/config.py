"""Every setting of a run in one frozen dataclass, and the four presets it starts from.

- A step changes a preset by fields and factors (`load_preset("small").change(vocab_factor=2)`), so
  that each step runs on each preset. What each step changes is listed in `lib.steps`.
- The defaults are the challenge's own baseline: https://github.com/maincodehq/mainrun.
"""

from dataclasses import asdict, dataclass, fields, replace

from .files import as_json, from_json
from .steps import RECIPES, STEPS

TOKENIZERS = ("bpe", "unigram", "sp_bpe", "sp_unigram", "sp_bpe_case")
CHOICES = {
    "tokenizer": TOKENIZERS,
    "tokenizer_titles": ("train+val", "train"),
    "position": ("learned", "rope"),
    "norm": ("layernorm", "rmsnorm"),
    "windows": ("stream", "titles"),
    "optimizer": ("sgd", "adamw", "muon"),
    "schedule": ("cosine", "wsd", "wsd_sqrt"),
    "precision": ("auto", "fp32", "bf16"),
    "gate": ("none", "channel", "head"),
}

LATER = {"counts": 0.0}
SMALLEST_VOCAB = 512  # tokens, of which sentencepiece needs 256 for the bytes


@dataclass(frozen=True)
class Config:
    """Settings of one run. Sizes are in tokens unless stated otherwise; `betas` are AdamW's.

    With Muon as the optimizer, `learning_rate` and `weight_decay` are those of the AdamW beside it.
    What a setting does is documented where it is used: `lib.model`, `lib.batches`, `lib.optim`,
    `lib.train`.

    Raises ValueError for an invalid value: an unknown choice, a width that the number of heads does
    not divide, a fraction out of bounds.
    """

    preset: str
    num_titles: int
    vocab_size: int
    n_layer: int
    n_embd: int
    n_head: int
    block_size: int  # of `official`, whatever a step trains with
    batch_size: int  # likewise, windows of block_size tokens

    seed: int = 1337
    val_frac: float = 0.10
    tokenizer: str = "bpe"  # or "unigram", or sentencepiece's: "sp_bpe", "sp_unigram", …_case
    tokenizer_titles: str = "train+val"  # the titles that the tokenizer is trained on
    position: str = "learned"  # or "rope"
    norm: str = "layernorm"  # or "rmsnorm"
    mlp_ratio: int = 4
    title_mask: bool = False  # attention within a title only: intra-document masking
    bias: bool = True  # in all layers and LayerNorms, but never in the head
    gate: str = "none"  # on each head's output: one per "channel" (elementwise), or one per "head"
    layer_scale: float = 0.0  # initial factor of each residual branch; 0: no scaling
    counts: float = 0.0  # share of counted n-grams in the predicted mixture; 0: none are counted
    block_factor: int = 1  # tokens in a training window, as a multiple of block_size
    batch_factor: float = 1.0  # windows in a training step, as a multiple of batch_size
    windows: str = "stream"  # or "titles": whole titles, reshuffled each epoch
    dropout: float = 0.1
    attention_dropout: bool = True  # dropout on the attention weights as well
    r_drop: float = 0.0  # weight of the mean divergence between two passes; 0: one pass
    optimizer: str = "sgd"  # or "adamw", or "muon" with AdamW beside it
    learning_rate: float = 6e-3
    betas: tuple[float, float] | None = None
    weight_decay: float = 0.0
    muon_learning_rate: float = 0.0
    muon_weight_decay: float = 0.0
    schedule: str = "cosine"  # or "wsd": warm-up, stable, decay; "wsd_sqrt" decays as a root
    warmup: float = 0.0  # of wsd, as a fraction of all steps
    decay: float = 0.0  # likewise
    ema: float = 0.0  # decay a step of the weights' moving average; 0: none
    grad_clip: float = 1.0  # global norm
    epochs: int = 7
    evals_per_epoch: int = 3
    precision: str = "auto"  # auto: bf16 if CPU or NVIDIA GPU has it, else fp32; Muon: always auto

    def __post_init__(self):
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {allowed}.")
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}.")
        if self.optimizer != "sgd" and self.betas is None:
            raise ValueError(f"optimizer {self.optimizer!r} needs betas, such as (0.9, 0.95).")
        if self.optimizer == "muon" and not self.muon_learning_rate > 0:
            raise ValueError("optimizer 'muon' needs a muon_learning_rate above 0, such as 0.02.")
        if self.position == "rope" and self.n_embd // self.n_head % 2:
            raise ValueError(
                f"position 'rope' turns pairs of channels, and {self.n_embd} / {self.n_head} of a "
                "head is odd."
            )
        if self.epochs < 1 or self.evals_per_epoch < 1:
            raise ValueError("epochs and evals_per_epoch are at least 1.")
        if self.warmup + self.decay > 1:
            raise ValueError(
                f"warmup {self.warmup} and decay {self.decay} are more than all steps together."
            )
        if not 0 < self.val_frac < 1:
            raise ValueError(f"val_frac is {self.val_frac}; it is a fraction between 0 and 1.")
        for name in ("dropout", "ema", "warmup", "decay", "counts"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 0 and below 1.")

    @property
    def window(self) -> int:
        """The tokens of a window that is trained on: the most that the model can read."""
        return self.block_size * self.block_factor

    def change(self, *, vocab_factor: float = 1, **changes) -> "Config":
        """Return a copy with `changes`, and the vocabulary `vocab_factor` times as large.

        A factor never makes it smaller than SMALLEST_VOCAB, or than it was if that is less.
        """
        config = replace(self, **changes)
        least = min(config.vocab_size, SMALLEST_VOCAB)
        return replace(config, vocab_size=max(least, round(config.vocab_size * vocab_factor)))

    def as_dict(self) -> dict:
        """Return the settings as JSON has them (tuples become lists)."""
        return as_json(asdict(self))

    @classmethod
    def from_dict(cls, settings: dict) -> "Config":
        """Return the Config whose `as_dict` is `settings`; missing settings are not filled in.

        The exception is LATER: settings that are newer than the first records, with the values that
        every earlier run had.
        """
        settings = LATER | settings
        if missing := [f.name for f in fields(cls) if f.name not in settings]:
            raise ValueError(f"there is no {', '.join(missing)} in these settings.")
        if unknown := settings.keys() - {f.name for f in fields(cls)}:
            raise ValueError(f"{', '.join(sorted(unknown))}: no setting of this code.")
        return cls(**from_json(settings))


def changed(old: Config, new: Config) -> list[dict]:
    """Return the settings that differ, in the order of the fields: `[{setting, old, new}]`."""
    pairs = ((f.name, getattr(old, f.name), getattr(new, f.name)) for f in fields(Config))
    return [{"setting": name, "old": a, "new": b} for name, a, b in pairs if a != b]


_SHAPE = ("num_titles", "n_layer", "n_embd", "n_head", "vocab_size", "block_size", "batch_size")
_PRESETS = {
    "smoke": (2_000, 2, 64, 2, 512, 64, 16),
    "tiny": (5_000, 2, 128, 4, 2_000, 128, 16),
    "small": (20_000, 4, 256, 4, 8_000, 128, 32),
    "full": (100_000, 6, 512, 8, 16_000, 128, 64),
}
PRESETS = tuple(_PRESETS)


def load_preset(name: str, **changes) -> Config:
    """Return the baseline's settings for the preset `name`, with `changes`.

    Raises ValueError if `name` is not one of PRESETS.
    """
    if name not in _PRESETS:
        raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return Config(preset=name, **dict(zip(_SHAPE, _PRESETS[name], strict=True))).change(**changes)


def load_step(step: str, preset: str) -> Config:
    """Return the settings of `step` on `preset`: the changes of every step up to it.

    `step` may also be a recipe, which changes the step that it starts from. Raises ValueError for
    an unknown step or preset.
    """
    if step in RECIPES:
        recipe = RECIPES[step]
        return load_step(recipe["from"], preset).change(**recipe["changes"])
    names = list(STEPS)
    if step not in names:
        raise ValueError(f"There is no step {step!r}; choose one of {', '.join(names)}.")
    config = load_preset(preset)
    for name in names[: names.index(step) + 1]:
        on_this = STEPS[name].get("on", {}).get(preset, {})
        config = config.change(**STEPS[name]["changes"] | on_this)
    return config


def title_of(step: str) -> str:
    """Return the title of `step` for readers; a step not in `lib.steps` goes by its name."""
    return (STEPS | RECIPES).get(step, {"title": step})["title"]

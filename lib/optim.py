"""The optimizers that the steps train with, and the schedule they share."""

import torch

from .config import Config


def sgd(model, config):
    """Return plain SGD over all parameters, without momentum: the challenge's own."""
    return torch.optim.SGD(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )


def get_optimizer(model, config):
    """Return AdamW over all parameters: a step size of its own for each."""
    return torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )


OPTIMIZERS = {"sgd": sgd, "adamw": get_optimizer}


def cosine(optimizer, config: Config, steps: int):
    """Return the challenge's schedule: from the learning rate to 0 along a cosine over `steps`."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)

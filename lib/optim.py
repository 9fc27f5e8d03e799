"""The optimizers that the steps train with, and the schedules of their learning rates."""

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


def get_muon(model, config):
    """Return Muon over the matrices inside the blocks, and AdamW over all other parameters.

    Muon replaces the momentum of a matrix by the nearest matrix that is orthogonal, so that it
    moves as far along its rare directions as along its common ones.
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
    """
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    those = {id(p) for p in matrices}
    muon = torch.optim.Muon(
        matrices, lr=config.muon_learning_rate, weight_decay=config.muon_weight_decay
    )
    adamw = torch.optim.AdamW(
        [p for p in model.parameters() if id(p) not in those],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )
    return muon, adamw


OPTIMIZERS = {"sgd": sgd, "adamw": get_optimizer, "muon": get_muon}


def schedule(optimizer, config: Config, steps: int):
    """Return the scheduler that `config.schedule` names, for `steps` steps in all.

    `cosine` is the challenge's: from the learning rate to 0 along a cosine. `wsd` rises along a
    line for the fraction `warmup` of the steps, stays, and falls along a line to 0 for the
    fraction `decay` (Hu et al. 2024, https://arxiv.org/abs/2404.06395); `wsd_sqrt` falls as
    1 - √progress instead (Hägele et al. 2024, https://arxiv.org/abs/2405.18392).
    """
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    power = 0.5 if config.schedule == "wsd_sqrt" else 1.0
    rise, fall = config.warmup * steps, config.decay * steps

    def factor(step):  # of the learning rate, for the step after `step` others
        if step < rise:
            return (step + 1) / (rise + 1)
        done = max(0.0, step - (steps - fall)) / max(fall, 1.0)
        return 1 - min(done, 1.0) ** power

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

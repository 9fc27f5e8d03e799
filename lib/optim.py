"""The optimizers that the steps train with, and their learning-rate schedules.

Muon is our own, not `torch.optim.Muon`, which computes its products in bfloat16 everywhere and one
matrix at a time: on a CPU without bfloat16 they take most of a run's time, and on a GPU they are
hundreds of small kernel launches.
"""

import torch
from torch import Tensor

from .config import Config
from .device import use_bf16

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the coefficients of the quintic, as Jordan has them


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Return approximately the nearest orthogonal matrix to each of `matrices` (N, rows, columns).

    It turns U S Vᵀ into U S' Vᵀ, with the S' near 1 (about 0.7 to 1.2), by `steps` Newton–Schulz
    iterations; in bfloat16 if the device has it natively, else in float32.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16() if use_bf16("auto", matrices.device) else matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).type_as(matrices)


class Muon(torch.optim.Optimizer):
    """Orthogonalized momentum: each step moves a matrix equally in all its directions.

    `params` are matrices. With m the moving average of the gradients g, which decays by `momentum`
    per step, a step is w ← (1 - lr · weight_decay) w - lr · √max(1, rows / columns) ·
    O(momentum · m + (1 - momentum) g), where O is `orthogonalize`. Matrices of the same shape are
    processed together.
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
    """

    def __init__(self, params, lr: float, weight_decay: float = 0.0, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """Move every matrix that has a gradient. A `closure` is called first, with gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum, shapes = group["lr"], group["momentum"], {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "mean" not in state:
                    state["mean"] = torch.zeros_like(p)
                mean = state["mean"].lerp_(p.grad, 1 - momentum)
                shapes.setdefault(p.shape, []).append((p, p.grad.lerp(mean, momentum)))
            for (rows, columns), pairs in shapes.items():
                matrices, updates = zip(*pairs, strict=True)
                updates = orthogonalize(torch.stack(updates)).unbind()
                torch._foreach_mul_(matrices, 1 - lr * group["weight_decay"])
                torch._foreach_add_(matrices, updates, alpha=-lr * max(1, rows / columns) ** 0.5)
        return loss


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
    """Return Muon over the matrices inside the blocks, AdamW over the rest.

    Muon replaces the momentum of a matrix by the nearest matrix that is
    orthogonal, so that it moves as far along its rare directions as along its
    common ones.
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
    """
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    those = {id(p) for p in matrices}
    muon = Muon(
        matrices,
        lr=config.muon_learning_rate,
        weight_decay=config.muon_weight_decay,
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

    `cosine` is the challenge's: from the learning rate to 0 along a cosine. `wsd` rises linearly
    for the fraction `warmup` of the steps, stays constant, and falls linearly to 0 over the
    fraction `decay`; `wsd_sqrt` falls as 1 - √progress instead. The name is from Hu et al. 2024
    (https://arxiv.org/abs/2404.06395), both ways to fall are in Hägele et al. 2024
    (https://arxiv.org/abs/2405.18392).
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

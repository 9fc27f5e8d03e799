"""What a training step minimises: cross-entropy and, with R-Drop, how far two passes diverge.

- The head and the loss are computed together, a chunk of tokens at a time, each chunk's gradient
  along with its loss: on a CPU the logits of a whole batch, which would be the largest tensor, are
  never held in memory. On an NVIDIA GPU a chunk has as many tokens as a batch of `full`.
- R-Drop (Liang et al. 2021, https://arxiv.org/abs/2106.14448): with P and Q the predictions under
  two dropout masks, a token costs (CE(P) + CE(Q)) / 2 + r_drop · (KL(P‖Q) + KL(Q‖P)) / 2, the mean
  of the two cross-entropies plus r_drop times the mean of the two divergences.
"""

import torch
from torch import Tensor

from .batches import IGNORED

AT_ONCE = {"cuda": 8192, "cpu": 512}  # tokens; a CPU's caches hold less


def losses(model, x: Tensor, y: Tensor, r_drop: float) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy in nats per token, and the objective to minimise.

    x (B, T, …) and y (B, T) are inputs and targets; targets that are IGNORED do not count. With
    `r_drop`, the batch goes through the model twice, under two dropout masks. Without it, a token
    counts 87 nats at most, as only a run that diverges would notice; its gradient is exact.
    """
    passes = 2 if r_drop else 1
    hidden = model.hidden(torch.cat([x] * passes)).reshape(passes, y.numel(), -1)
    dtype = hidden.dtype
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
    return _HeadAndLoss.apply(hidden, model.head.weight, y.flatten(), r_drop, dtype)


class _HeadAndLoss(torch.autograd.Function):
    """hidden (P, N, C), weight (V, C), targets (N,) → cross-entropy, and what is minimised.

    Only the second has a gradient. Products are in `dtype`, the softmax and the sums in float32.
    """

    @staticmethod
    def forward(ctx, hidden, weight, targets, r_drop, dtype):
        passes, count, width = hidden.shape
        matrix = weight.detach().to(dtype)
        counted = targets != IGNORED
        share = 1 / (passes * counted.sum())  # of a token that counts, in either pass
        entropy = torch.zeros((), device=hidden.device)
        apart = torch.zeros((), device=hidden.device)
        grad_hidden = torch.empty_like(hidden, dtype=dtype)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        at_once = AT_ONCE.get(hidden.device.type, AT_ONCE["cpu"]) // passes
        for start in range(0, count, at_once):
            part = slice(start, start + at_once)
            states = hidden[:, part].detach().to(dtype)
            inside, right = counted[part], targets[part].clamp(min=0)
            logits = (states.reshape(-1, width) @ matrix.T).float()
            logits = logits.view(passes, -1, len(matrix))
            places = right.expand(passes, -1)[..., None]
            if r_drop:
                logs = logits.log_softmax(-1)
                grad, chosen = logs.exp(), logs.gather(-1, places)
            else:  # the logarithm of what is needed only
                grad = logits.softmax(-1)
                chosen = grad.gather(-1, places).clamp(min=torch.finfo(torch.float32).tiny).log()
            entropy -= (chosen[..., 0] * inside).sum()
            if r_drop:
                (p, q), (a, b) = grad, logs
                ratio = a.sub_(b)  # log p / q, where a was
                there, back = (p * ratio).sum(-1, True), -(q * ratio).sum(-1, True)
                apart += ((there + back)[:, 0] * inside).sum()
                pull = (r_drop * (p - q)).add_(r_drop * p * (ratio - there))
                push = (r_drop * (q - p)).add_(r_drop * q * (-ratio - back))
                p.add_(pull)
                q.add_(push)
            grad.scatter_add_(-1, places, torch.full_like(places, -1, dtype=grad.dtype))
            grad.mul_((inside * share)[None, :, None])
            grad = grad.to(dtype).flatten(0, 1)
            grad_hidden[:, part] = (grad @ matrix).view(passes, -1, width)
            grad_weight += (grad.T @ states.reshape(-1, width)).float()
        ctx.save_for_backward(grad_hidden, grad_weight)
        entropy, apart = entropy * share, apart * share
        ctx.mark_non_differentiable(entropy)
        return entropy, entropy + r_drop * apart

    @staticmethod
    def backward(ctx, _, scale):
        hidden, weight = ctx.saved_tensors
        return hidden * scale, weight * scale, None, None, None

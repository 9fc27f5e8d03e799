"""What a training step minimises: cross-entropy, and with R-Drop how far two passes are apart.

- The head and the loss go together, over so many tokens at a time: the logits of a whole batch,
  the largest thing there would be, are never held. Each part's gradient is taken as it is made.
- R-Drop (Liang et al. 2021, https://arxiv.org/abs/2106.14448): with P and Q what the model expects
  under two dropouts, a token costs (CE(P) + CE(Q)) / 2 + r_drop · (KL(P‖Q) + KL(Q‖P)) / 2, the mean
  of both cross-entropies and r_drop times the mean of both divergences.
- Beside counts (`lib.counts`), with p what the network gives a token, q what the counts without
  that one occurrence give it and g their share, a token costs half of -log p and half of
  -log((1 - g) p + g q). From the mixture alone the network learns nothing: the counts are right
  from the first step on, and g goes to 1 before it has begun.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import IGNORED
from .counts import mixed

AT_ONCE = {"cuda": 8192, "cpu": 512}  # tokens; a CPU's caches hold less


def losses(model, x: Tensor, y: Tensor, r_drop: float) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy in nats per token, and what is minimised.

    x (B, T, …) and y (B, T) are inputs and targets, of which those that are IGNORED do not count.
    With `r_drop` the batch goes through the model twice, under two dropouts. Of a model with counts
    the cross-entropy is the mixture's.
    """
    passes = 2 if r_drop else 1
    hidden = model.hidden(torch.cat([x] * passes)).reshape(passes, y.numel(), -1)
    dtype = hidden.dtype
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
    counted = None
    if model.counts is not None:
        counted = model.counts(x, y.clamp(min=0), leave_one_out=True).flatten()
    parameters = model.head.weight, model.trust
    return _HeadAndLoss.apply(hidden, *parameters, y.flatten(), counted, r_drop, dtype)


class _HeadAndLoss(torch.autograd.Function):
    """hidden (P, N, C), weight (V, C), targets (N,) → cross-entropy, and what is minimised.

    With counts trust is (C + 1,) and counted (N,), else both are None. Only the second result has a
    gradient. Products are in `dtype`, the softmax and the sums in float32.
    """

    @staticmethod
    def forward(ctx, hidden, weight, trust, targets, counted, r_drop, dtype):
        passes, count, width = hidden.shape
        matrix = weight.detach().to(dtype)
        is_target = targets != IGNORED
        share = 1 / (passes * is_target.sum())  # of a token that counts, in either pass
        entropy, alone, apart = torch.zeros(3, device=hidden.device).unbind()
        grad_hidden = torch.empty_like(hidden, dtype=dtype)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        grad_trust = None if trust is None else torch.zeros_like(trust)
        at_once = AT_ONCE.get(hidden.device.type, AT_ONCE["cpu"]) // passes
        for start in range(0, count, at_once):
            part = slice(start, start + at_once)
            states = hidden[:, part].detach().to(dtype)
            inside, right = is_target[part], targets[part].clamp(min=0)
            logits = (states.reshape(-1, width) @ matrix.T).float()
            logits = logits.view(passes, -1, len(matrix))
            places = right.expand(passes, -1)[..., None]
            if r_drop:
                logs = logits.log_softmax(-1)
                grad, log_p = logs.exp(), logs.gather(-1, places)[..., 0]
                (p, q), (a, b) = grad, logs
                ratio = a.sub_(b)  # log p / q, where a was
                there, back = (p * ratio).sum(-1, True), -(q * ratio).sum(-1, True)
                apart += ((there + back)[:, 0] * inside).sum()
                pull = (r_drop * (p - q)).add_(r_drop * p * (ratio - there))
                push = (r_drop * (q - p)).add_(r_drop * q * (-ratio - back))
            else:  # the logarithm of what is needed only
                grad = logits.softmax(-1)
                log_p = grad.gather(-1, places)[..., 0]
                log_p = log_p.clamp(min=torch.finfo(torch.float32).tiny).log()
            alone -= (log_p * inside).sum()
            cost = torch.ones_like(log_p)  # what a nat of the network's own loss costs
            if counted is None:
                entropy = alone
            else:
                gate = states.float() @ trust[:-1] + trust[-1]
                log_mixed = mixed(log_p, gate, counted[part])
                entropy -= (log_mixed * inside).sum()
                own = (log_p + F.logsigmoid(-gate) - log_mixed).exp()  # its part of the mixture
                cost = 0.5 + 0.5 * own
                grad.mul_(cost[..., None])
                turn = 0.5 * share * inside * (gate.sigmoid() - (1 - own))  # of the gate
                grad_trust[:-1] += torch.einsum("pn,pnc->c", turn, states.float())
                grad_trust[-1] += turn.sum()
            if r_drop:
                grad[0].add_(pull)
                grad[1].add_(push)
            grad.scatter_add_(-1, places, -cost[..., None])
            grad.mul_((inside * share)[None, :, None])
            grad = grad.to(dtype).flatten(0, 1)
            grad_hidden[:, part] = (grad @ matrix).view(passes, -1, width)
            if counted is not None:
                grad_hidden[:, part] += (turn[..., None] * trust[:-1]).to(dtype)
            grad_weight += (grad.T @ states.reshape(-1, width)).float()
        ctx.save_for_backward(grad_hidden, grad_weight, grad_trust)
        entropy, alone, apart = entropy * share, alone * share, apart * share
        ctx.mark_non_differentiable(entropy)
        return entropy, (entropy + alone) / 2 + r_drop * apart

    @staticmethod
    def backward(ctx, _, scale):
        grads = (None if grad is None else grad * scale for grad in ctx.saved_tensors)
        return (*grads, None, None, None, None)

"""StableAdamW with AMSGrad, and the warm-up and cosine of its learning rate, as Dinomaly and INP-Former train.

StableAdamW is AdamW whose step is divided, for each tensor, by how much larger the present gradients are than their
running size: "Stable and low-precision training for large-scale vision-language models", arXiv 2304.13013. AMSGrad
(arXiv 1904.09237) keeps the largest running size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class StableAdamW(torch.optim.Optimizer):
    """AdamW with AMSGrad and steps that large gradients don't lengthen.

    Args:
        parameters: what is trained.
        lr: learning rate.
        betas: decays of the running mean of gradients and of their squares.
        eps: added to the root of the mean square.
        weight_decay: part of each value, times lr, that is taken off before a step.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-10,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with the present gradients; parameters without one stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._change(parameter, parameter.grad, group["lr"], group)
        return loss

    def _change(self, parameter: Tensor, gradient: Tensor, lr: float, group: dict[str, Any]) -> None:
        """Change one tensor in place."""
        beta1, beta2 = group["betas"]
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            for name in ("mean", "square", "largest"):
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        torch.maximum(state["largest"], state["square"], out=state["largest"])
        root = (state["largest"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        too_large = (gradient / root).square_().mean().sqrt_().clamp_min_(1)  # (): how far this gradient is off
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.sub_(state["mean"] / root * (lr / (1 - beta1 ** state["step"]) / too_large))


@dataclass(frozen=True)
class WarmCosine:
    """A learning rate that rises in a straight line from 0, and then falls along half a cosine.

    Attributes:
        lr: the highest one.
        final: that to which it falls.
        warmup: steps of the rise: the first has a rate of 0, the last one the highest.
        steps: of the whole training; shorter warm-ups fit into short trainings.
    """

    lr: float
    final: float
    warmup: int
    steps: int

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * step / max(1, self.warmup - 1)
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.final + 0.5 * (self.lr - self.final) * (1 + math.cos(math.pi * progress))

"""The trained networks of INP-Former, named as in the authors' checkpoints (arXiv 2503.02424, section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..token_decoder import MLP, NORM_EPS, initialise


class PrototypeDecoder(nn.Module):
    """Extracts prototypes from an image's tokens, and restores the tokens through them.

    Args:
        width: channels of a token.
        blocks: of the decoder.
        heads: of each attention.
        prototypes: number of prototypes.
    """

    def __init__(self, width: int, blocks: int, heads: int, prototypes: int) -> None:
        super().__init__()
        self.prototype_token = nn.Parameter(torch.randn(prototypes, width))
        self.aggregation = nn.ModuleList([Extractor(width, heads)])
        self.bottleneck = nn.ModuleList([MLP(width, 4 * width)])
        self.decoder = nn.ModuleList(PrototypeBlock(width, heads) for _ in range(blocks))
        initialise(self)

    def forward(self, tokens: Tensor) -> tuple[list[Tensor], Tensor]:
        """Restore tokens.

        Args:
            tokens: (B, N, width).

        Returns:
            The outputs of all blocks, each (B, N, width), and the images' prototypes (B, M, width).
        """
        prototypes = self.prototype_token.expand(tokens.shape[0], -1, -1)
        for extract in self.aggregation:
            prototypes = extract(prototypes, tokens)
        for layer in self.bottleneck:
            tokens = layer(tokens)
        outputs = []
        for block in self.decoder:
            tokens = block(tokens, prototypes)
            outputs.append(tokens)
        return outputs, prototypes


class Extractor(nn.Module):
    """Cross-attention from learned tokens to those of an image; one norm serves both."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=NORM_EPS), nn.LayerNorm(width, eps=NORM_EPS)
        self.attn, self.mlp = SoftmaxAttention(width, heads), MLP(width, 4 * width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(B, M, width) and (B, N, width) -> (B, M, width)."""
        queries = queries + self.attn(self.norm1(queries), self.norm1(tokens))
        return queries + self.mlp(self.norm2(queries))


class PrototypeBlock(nn.Module):
    """Attention to the prototypes, without a way around it: what leaves the block is made of prototypes alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=NORM_EPS), nn.LayerNorm(width, eps=NORM_EPS)
        self.attn, self.mlp = ReLUAttention(width, heads), MLP(width, 4 * width)

    def forward(self, x: Tensor, prototypes: Tensor) -> Tensor:
        """(B, N, width) and (B, M, width) -> (B, N, width)."""
        x = self.attn(self.norm1(x), self.norm1(prototypes))
        return x + self.mlp(self.norm2(x))


class CrossAttention(nn.Module):
    """The projections of an attention from queries to other tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.proj = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def projected(self, queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, heads, N, D), keys and values (B, heads, M, D)."""
        q = self.q(queries).unflatten(2, (self.heads, -1)).movedim(2, 1)
        k, v = self.kv(tokens).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def joined(self, attended: Tensor) -> Tensor:
        """(B, heads, N, D) -> (B, N, width)."""
        return self.proj(attended.movedim(1, 2).flatten(2))


class SoftmaxAttention(CrossAttention):
    """The usual attention."""

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(B, N, width) and (B, M, width) -> (B, N, width)."""
        return self.joined(F.scaled_dot_product_attention(*self.projected(queries, tokens)))


class ReLUAttention(CrossAttention):
    """Weights are the positive cosines of queries and keys, scaled by a learned number for each head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.learn_scale = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(B, N, width) and (B, M, width) -> (B, N, width)."""
        q, k, v = self.projected(queries, tokens)
        cosines = F.normalize(q, dim=3) @ F.normalize(k, dim=3).mT  # (B, heads, N, M)
        return self.joined(torch.relu(self.learn_scale * cosines) @ v)

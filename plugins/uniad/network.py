"""The transformer of UniAD: it restores each token from others that are not near it.

Names of parameters are those of the authors' checkpoints. From the paper, arXiv 2206.03687, section 3, and from what is
known of the authors' program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adbench.api import OptionError, Size

if TYPE_CHECKING:
    from . import UniADOptions


class Reconstruction(nn.Module):
    """Restores feature vectors: projection, encoder, decoder and projection back.

    Args:
        channels: of a feature vector, C.
        grid: rows and columns of tokens, h and w; N = h * w.
        options: width, heads, hidden, blocks, dropout and window.

    Raises:
        OptionError: a width that halves or heads don't divide, or a window that is even or hides all tokens.
    """

    mask: Tensor

    def __init__(self, channels: int, grid: Size, options: UniADOptions) -> None:
        super().__init__()
        _check(grid, options)
        self.input_proj = nn.Linear(channels, options.width)
        self.pos_embed = Position(grid, options.width)
        self.transformer = Transformer(grid[0] * grid[1], options)
        self.output_proj = nn.Linear(options.width, channels)
        self.register_buffer("mask", neighbours(grid, options.window), persistent=False)
        self.apply(initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        decoded = self.transformer(self.input_proj(tokens), self.pos_embed(), self.mask)
        restored: Tensor = self.output_proj(decoded)
        return restored


class Position(nn.Module):
    """A learned vector for each position: half of it belongs to the column, half to the row."""

    def __init__(self, grid: Size, width: int) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(grid[0], width // 2)
        self.col_embed = nn.Embedding(grid[1], width // 2)
        for embedding in (self.row_embed, self.col_embed):
            nn.init.uniform_(embedding.weight)

    def forward(self) -> Tensor:
        """(N, D), row by row."""
        rows, columns = self.row_embed.weight, self.col_embed.weight
        shape = (len(rows), len(columns), -1)
        return torch.cat((columns.expand(shape), rows[:, None].expand(shape)), dim=2).flatten(0, 1)


class Transformer(nn.Module):
    """An encoder, and a decoder each of whose layers starts from a learned query."""

    def __init__(self, tokens: int, options: UniADOptions) -> None:
        super().__init__()
        self.encoder = Encoder(options)
        self.decoder = Decoder(tokens, options)

    def forward(self, tokens: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, N, D), their positions (N, D) and what they can't see (N, N) -> (B, N, D)."""
        decoded: Tensor = self.decoder(self.encoder(tokens, position, mask), position, mask)
        return decoded


class Encoder(nn.Module):
    """Layers of self-attention."""

    def __init__(self, options: UniADOptions) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(options) for _ in range(options.blocks))

    def forward(self, tokens: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """Arguments as of the transformer: (B, N, D) -> (B, N, D)."""
        for layer in self.layers:
            tokens = layer(tokens, position, mask)
        return tokens


class Decoder(nn.Module):
    """Layers that ask, by learned queries, what the encoder has found and what the layer before has made of it."""

    def __init__(self, tokens: int, options: UniADOptions) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(tokens, options) for _ in range(options.blocks))
        self.norm = nn.LayerNorm(options.width)

    def forward(self, memory: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """The encoder's output (B, N, D) -> (B, N, D); the other arguments as of the transformer."""
        output = memory
        for layer in self.layers:
            output = layer(output, memory, position, mask)
        decoded: Tensor = self.norm(output)
        return decoded


class FeedForward(nn.Module):
    """What layers of both kinds have in common: two linear layers, and attention that adds to its query."""

    def __init__(self, options: UniADOptions) -> None:
        super().__init__()
        self.self_attn = attention(options)
        self.linear1 = nn.Linear(options.width, options.hidden)
        self.linear2 = nn.Linear(options.hidden, options.width)
        self.dropout = nn.Dropout(options.dropout)

    def added(self, attention: nn.Module, x: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """X plus what the query finds: all (B, N, D)."""
        found, _ = attention(query, key, value, attn_mask=mask, need_weights=False)
        return x + self.dropout(found)

    def fed(self, x: Tensor) -> Tensor:
        """X plus what the linear layers make of it: (B, N, D) -> (B, N, D)."""
        hidden = self.dropout(torch.relu(self.linear1(x)))
        return x + self.dropout(self.linear2(hidden))


class EncoderLayer(FeedForward):
    """Self-attention and linear layers, each followed by a layer norm."""

    def __init__(self, options: UniADOptions) -> None:
        super().__init__(options)
        self.norm1 = nn.LayerNorm(options.width)
        self.norm2 = nn.LayerNorm(options.width)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """Arguments as of the transformer: (B, N, D) -> (B, N, D)."""
        placed = x + position
        x = self.norm1(self.added(self.self_attn, x, placed, placed, x, mask))
        encoded: Tensor = self.norm2(self.fed(x))
        return encoded


class DecoderLayer(FeedForward):
    """A learned query attends to the encoder's output, then to that of the layer before."""

    def __init__(self, tokens: int, options: UniADOptions) -> None:
        super().__init__(options)
        self.learned_embed = nn.Embedding(tokens, options.width)
        self.multihead_attn = attention(options)
        self.norm1 = nn.LayerNorm(options.width)
        self.norm2 = nn.LayerNorm(options.width)
        self.norm3 = nn.LayerNorm(options.width)

    def forward(self, before: Tensor, memory: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """The output of the layer before (B, N, D) and of the encoder (B, N, D) -> (B, N, D)."""
        x = self.learned_embed.weight.expand_as(memory)
        x = self.norm1(self.added(self.self_attn, x, x + position, memory + position, memory, mask))
        x = self.norm2(self.added(self.multihead_attn, x, x + position, before + position, before, mask))
        decoded: Tensor = self.norm3(self.fed(x))
        return decoded


def attention(options: UniADOptions) -> nn.MultiheadAttention:
    """An attention over (B, N, D)."""
    return nn.MultiheadAttention(options.width, options.heads, options.dropout, batch_first=True)


def initialise(module: nn.Module) -> None:
    """Draw the weights of linear layers as Xavier and Glorot do, and set their biases to 0.

    The projections into an attention are no linear modules in torch, and keep their own way.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def neighbours(grid: Size, window: int) -> Tensor:
    """Which tokens lie in the window around each one: (N, N), bool; rows are the tokens that look."""
    rows, columns = (torch.arange(length) for length in grid)
    near_rows, near_columns = ((each[:, None] - each).abs() <= window // 2 for each in (rows, columns))
    near = near_rows[:, None, :, None] & near_columns[None, :, None, :]  # (h, w, h, w)
    return near.flatten(2, 3).flatten(0, 1)


def _check(grid: Size, options: UniADOptions) -> None:
    if options.width % 2 or options.width % options.heads:
        wanted = f"a multiple of 2 and of the {options.heads} heads"
        raise OptionError("option width of uniad", found=str(options.width), wanted=wanted)
    if options.window % 2 == 0:
        raise OptionError("option window of uniad", found=str(options.window), wanted="an odd number")
    if max(grid) <= options.window:
        longer = (options.window + 1) * options.stride
        raise OptionError(
            "option window of uniad",
            found=f"{options.window}, which hides all of {grid[0]} x {grid[1]} tokens from the one in the middle",
            wanted="fewer than the longer side",
            hint=f"Use a larger --size, with a side of {longer} pixels or more, or a smaller -o stride or -o window",
        )

"""A plain PyTorch program for the same job, of the kind that people write for one paper: nothing of this
library in it, no logging, no checkpoints, no loop over target steps.

Letters: K alternatives, B batch, T target, S source, H hidden, R readout, V symbols.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

PAD, BOS = 0, 1


class Seq2Seq(nn.Module):
    """LSTMs of one layer, the encoder's in both directions; scores q . k / sqrt(H); logits
    output(tanh(W_h h + W_c c))."""

    def __init__(self, source: int, target: int, embedding: int, hidden: int, readout: int, dropout: float):
        super().__init__()
        self.source = nn.Embedding(source, embedding, padding_idx=PAD)
        self.target = nn.Embedding(target, embedding, padding_idx=PAD)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.key = nn.Linear(2 * hidden, hidden, bias=False)
        self.from_state = nn.Linear(hidden, readout)
        self.from_context = nn.Linear(2 * hidden, readout, bias=False)
        self.output = nn.Linear(readout, target)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, source: Int[Tensor, "B S"], target: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T R"], Float[Tensor, "B S R"], Float[Tensor, "B T S"]]:
        """What the states and the positions give to the readout, and log p(position); the right prefix
        given."""
        mask = source != PAD
        embedded = self.dropout(self.source(source))
        packed = nn.utils.rnn.pack_padded_sequence(
            embedded, mask.sum(1), batch_first=True, enforce_sorted=False
        )
        read = self.encoder(packed)[0]
        states, _ = nn.utils.rnn.pad_packed_sequence(read, batch_first=True, total_length=source.size(1))
        said, _ = self.decoder(self.dropout(self.target(F.pad(target[:, :-1], (1, 0), value=BOS))))
        keys = self.key(states)
        scores = said @ keys.transpose(1, 2) / keys.size(-1) ** 0.5
        log_probs = scores.masked_fill(~mask[:, None], -1e9).log_softmax(-1)
        return self.from_state(said), self.from_context(states), log_probs

    def losses(self, states: Float[Tensor, "..."], target: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
        """-log p(target symbol) of what stands before the tanh."""
        logits = self.output(torch.tanh(states))
        shown = target.expand(logits.shape[:-1])
        return F.cross_entropy(logits.flatten(0, -2), shown.flatten(), reduction="none").view(shown.shape)


def loss(
    model: Seq2Seq, mechanism: str, source: Int[Tensor, "B S"], target: Int[Tensor, "B T"], samples: int = 0
) -> Float[Tensor, ""]:
    """What the program minimises, a mean over target symbols: `soft`, `exact` (expected loss), `marginal`, or
    `reinforce` with a leave-one-out baseline."""
    states, contexts, log_probs = model(source, target)
    if mechanism == "soft":
        each = model.losses(states + log_probs.exp() @ contexts, target)
    elif mechanism == "reinforce":
        drawn = draws(log_probs, samples)
        index = drawn.flatten(2).transpose(0, 1).flatten(1)[..., None].expand(-1, -1, contexts.size(-1))
        read = contexts.gather(1, index).unflatten(1, (samples, -1)).transpose(0, 1)  # K B T R
        losses = model.losses(states + read, target)
        chosen = log_probs.expand(samples, -1, -1, -1).gather(-1, drawn[..., None])[..., 0]
        cost = losses.detach()
        baseline = (cost.sum(0) - cost) / (samples - 1)
        each = (losses + (cost - baseline) * chosen).mean(0)
    else:
        losses = model.losses(states[:, :, None] + contexts[:, None], target[..., None])  # B T S
        marginal = mechanism == "marginal"
        each = -(log_probs - losses).logsumexp(-1) if marginal else (log_probs.exp() * losses).sum(-1)
    valid = target != PAD
    return (each * valid).sum() / valid.sum()


def draws(log_probs: Float[Tensor, "B T S"], samples: int) -> Int[Tensor, "K B T"]:
    """Independent positions, by the Gumbel-max trick."""
    noise = torch.empty(samples, *log_probs.shape).exponential_()
    return (log_probs.detach() - noise.log()).argmax(-1)


def trained(
    model: Seq2Seq, mechanism: str, samples: int, lr: float, limit: float
) -> Callable[[Int[Tensor, "B S"], Int[Tensor, "B T"]], None]:
    """A training step on a batch: Adam, with the gradient's norm clipped."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)

    def step(source: Int[Tensor, "B S"], target: Int[Tensor, "B T"]) -> None:
        optimizer.zero_grad()
        loss(model, mechanism, source, target, samples).backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()

    return step

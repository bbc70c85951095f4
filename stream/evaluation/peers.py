"""The peers over the log, under exactly the protocol that the pipeline is measured by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from learners.peers.peer import Peer, pessimistic_peer_ranks
from stream.evaluation.protocol import Ints, Protocol


def run_peers(
    peers: Sequence[Peer],
    protocol: Protocol,
    *,
    exclude_seen: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Ints]:
    """Ranks of the scored events by each peer: name to (M,), -1 where the item had never appeared.

    Every choice teaches every peer, after all events of its moment were scored.

    Args:
        peers: That have learned nothing yet.
        protocol: What counts.
        exclude_seen: Leave out what the user had had earlier.
        on_progress: Called with the number of events after each moment.

    Raises:
        FloatingPointError: A peer's score is not a number.
    """
    names = tuple(name for peer in peers for name in peer.names)
    counts = np.zeros(len(protocol), np.bool_)
    counts[protocol.scored] = True
    ranks = np.full((len(names), len(protocol.scored)), -1, np.int64)
    users, items, times_s = protocol.users.tolist(), protocol.items.tolist(), protocol.times_s.tolist()
    known, choices, moments = protocol.known.tolist(), protocol.choices.tolist(), protocol.moments.tolist()
    place = 0
    for begin, end in pairwise(moments):
        for event in np.flatnonzero(counts[begin:end]).tolist():
            n = begin + event
            if items[n] < known[n]:
                seen = protocol.seen(n) if exclude_seen else None
                first = 0
                for peer in peers:
                    last = first + len(peer.names)
                    scores = peer.scores(users[n], times_s[n], known[n])
                    ranks[first:last, place] = pessimistic_peer_ranks(scores, items[n], seen)
                    first = last
            place += 1
        for n in range(begin, end):
            if choices[n]:
                for peer in peers:
                    peer.learn(users[n], items[n], times_s[n])
        if on_progress is not None:
            on_progress(end)
    return dict(zip(names, ranks, strict=True))

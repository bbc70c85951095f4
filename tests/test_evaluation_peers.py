"""Peers under the protocol: each event ranked by what came at strictly earlier times, against a naive reading."""

from __future__ import annotations

import numpy as np
from builders import NOW_MS, event
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.peers.line_up import line_up
from learners.peers.peer import Peer
from learners.peers.recency import Recency
from stream.evaluation.peers import run_peers
from stream.evaluation.protocol import apply_protocol

CHOICES = frozenset({"click"})

logs = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from("abcde"),
        st.sampled_from(["click", "click", "dwell"]),
    ),
    min_size=1,
    max_size=25,
)


@given(logs, st.booleans())
@law(80)
def test_recency_ranks_by_strictly_earlier_choices(
    rows: list[tuple[int, str, str, str]], exclude_seen: bool
) -> None:
    at_ms, events = NOW_MS, []
    for gap, user, item, kind in rows:
        at_ms += gap
        events.append(event(user, item, kind, occurred_at_ms=at_ms))
    protocol = apply_protocol(events, CHOICES, exclude_seen=exclude_seen)
    ranks = run_peers([Recency(len(protocol.item_ids))], protocol, exclude_seen=exclude_seen)
    for n, rank in zip(protocol.scored.tolist(), ranks["last touched by anyone"].tolist(), strict=True):
        one = events[n]
        before = [other for other in events if other.occurred_at_ms < one.occurred_at_ms]
        seen = {other.item_id for other in before if other.user_id == one.user_id} if exclude_seen else set()
        order = list(
            dict.fromkeys(other.item_id for other in reversed(before) if other.event_type == "click")
        )
        shown = [item for item in order if item not in seen]
        if one.item_id in shown:
            assert rank == shown.index(one.item_id)
        else:
            assert rank < 0 or rank >= len(shown)


def test_peers_of_one_run_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.integers(0, 3, 120)).tolist()
    events = [
        event(f"u{rng.integers(0, 5)}", f"i{rng.integers(0, 9)}", occurred_at_ms=NOW_MS + 1_000 * at)
        for at in seconds
    ]
    protocol = apply_protocol(events, CHOICES)

    def made() -> list[Peer]:
        return line_up(len(protocol.item_ids), 120, exclude_seen=False)

    together = run_peers(made(), protocol)
    alone = {name: ranks for peer in made() for name, ranks in run_peers([peer], protocol).items()}
    assert {name: ranks.tolist() for name, ranks in together.items()} == {
        name: ranks.tolist() for name, ranks in alone.items()
    }
    assert all(len(ranks) == len(protocol.scored) for ranks in together.values())

"""Many values at once are shown as Prometheus' own histogram shows them one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.tally import Tally

BUCKETS = (0.01, 0.5, 1.0, 30.0)
values = st.lists(st.one_of(st.sampled_from(BUCKETS), st.floats(0.0, 100.0)), max_size=20)


def shown(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(values, max_size=5))
@law(50)
def test_it_shows_what_prometheus_own_would_have(steps: list[list[float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("delay_seconds", "A delay.", buckets=BUCKETS, registry=theirs)
    tally = Tally("delay_seconds", "A delay.", BUCKETS)
    ours.register(tally)
    for step in steps:
        tally.observe(step)
        for value in step:
            histogram.observe(value)
    wanted, found = shown(theirs), shown(ours)
    assert found.pop(("delay_seconds_sum", "")) == pytest.approx(wanted.pop(("delay_seconds_sum", "")))
    assert found == wanted

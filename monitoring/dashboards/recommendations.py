"""What is recommended, where it comes from, and what becomes of it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import bars, board, lines, mean, of, per_second, share


def _ratio(part: str, by: str) -> str:
    def rate(name: str) -> str:
        return f"sum by ({by}) (rate({of(name)}[5m]))"

    return share(rate(part), rate("freshet_shown_places_total"))


def _of_places(name: str, *labels: str) -> str:
    return share(per_second(name, *labels), per_second("freshet_places_total"))


def recommendations() -> Dashboard:
    """For whoever runs the shop."""
    taken = (
        lines(
            "Click rate by source",
            "Of the places that were seen, those that were answered, by what brought their items; five minutes.",
            (_ratio("freshet_clicked_places_total", "source"), "{{source}}"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Click rate by place",
            "By where in the slate the item stood, counted from 1. Users look at the top first.",
            (_ratio("freshet_clicked_places_total", "places"), "places {{places}}"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Satisfaction by source",
            "Of the places that were seen: a like, a purchase, a rating of at least 4, a dwell of at least 30 s.",
            (_ratio("freshet_satisfied_places_total", "source"), "{{source}}"),
            unit="percentunit",
            limits=(0, None),
        ),
        bars(
            "Click rate by source, now",
            "The same as of now.",
            (_ratio("freshet_clicked_places_total", "source"), "{{source}}"),
            unit="percentunit",
        ),
        lines(
            "Seen, answered, satisfied",
            "Places a second, once each; of slates that this worker remembers.",
            (per_second("freshet_shown_places_total"), "seen"),
            (per_second("freshet_clicked_places_total"), "answered"),
            (per_second("freshet_satisfied_places_total"), "satisfied"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Seen by source",
            "Places a second that were seen, by what brought their items.",
            (per_second("freshet_shown_places_total", by="source"), "{{source}}"),
            unit="ops",
            limits=(0, None),
            stacked=True,
        ),
    )
    shown = (
        lines(
            "Slates",
            "Slates made a second, and places in them.",
            (per_second("freshet_recommendations_total"), "slates"),
            (per_second("freshet_places_total"), "places"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Places by source",
            "What brings the items, as a share of all places.",
            (
                per_second("freshet_source_places_total", by="source")
                + " / scalar("
                + per_second("freshet_source_places_total")
                + ")",
                "{{source}}",
            ),
            unit="percentunit",
            limits=(0, 1),
            stacked=True,
        ),
        lines(
            "Exploration",
            "Share of the places that were given to something tried, and to something tried because it is new.",
            (_of_places("freshet_places_total", 'placed="explored"'), "explored"),
            (_of_places("freshet_places_total", 'placed="new"'), "new"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Repeats and new items",
            "Share of the places whose item stood in the user's history, and whose item was new.",
            (_of_places("freshet_repeat_places_total"), "repeats"),
            (_of_places("freshet_new_item_places_total"), "new items"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Coverage and concentration",
            "Of each worker's latest slates, 40,000 places together: share of the items that stand in them, and the "
            "Gini index of how often (towards 1: a few items only).",
            (mean(of("freshet_slate_coverage_ratio")), "coverage"),
            (mean(of("freshet_slate_gini")), "Gini"),
            unit="percentunit",
            limits=(0, 1),
        ),
        lines(
            "Novelty",
            "Mean -log2 of the items' shares of the latest events: a bit more is half as well known.",
            (_of_places("freshet_place_novelty_bits_total"), "bits a place"),
        ),
        lines(
            "Left out",
            "Candidates a slate that a filter left out.",
            (
                f"{per_second('freshet_candidates_removed_total', by='filter')} / "
                f"scalar({per_second('freshet_recommendations_total')})",
                "{{filter}}",
            ),
            limits=(0, None),
            width=12,
        ),
        lines(
            "Impressions that wait",
            "For labels; and those that left without because there were too many (a second).",
            (f"max by (job) ({of('freshet_pending_impressions')})", "waiting"),
            (per_second("freshet_expired_impressions_total"), "dropped a second"),
            limits=(0, None),
            width=12,
        ),
    )
    return board(
        "recommendations",
        "recommendations",
        "What is recommended, where it comes from, and what becomes of it.",
        (("What becomes of it", taken), ("What is recommended", shown)),
    )

// Is it alive, fresh and good?

import { chart } from "./chart.js";
import { weightsChart } from "./charts.js";
import { h } from "./dom.js";
import { milliseconds, number, percent } from "./format.js";
import { follow } from "./live.js";

const FIGURES = [
  ["Events a second", (now, last) => number(last?.events_per_s)],
  ["Freshness, median", (now) => milliseconds(now.quality.freshness_ms.p50)],
  ["HR@10, progressive", (now) => percent(now.quality.hr10)],
  ["Events learned", (now) => number(now.totals.events_learned)],
  ["Recommendations", (now) => number(now.totals.recommendations)],
  ["Users", (now) => number(now.users)],
  ["Items", (now) => number(now.items)],
  ["Waiting impressions", (now) => number(now.pending_impressions)],
  ["Dead letters", (now) => number(now.totals.dead_letters)],
  ["Drift findings", (now) => number(now.quality.drift_events)],
];

/** Draw the page; returns how to leave it. */
export function overview(page) {
  const values = FIGURES.map(() => h("dd", {}, "–"));
  const charts = [
    chart({ title: "Events a second", about: "Learned by this worker, between two looks.", series: (sample) => ({ events: sample.events_per_s }), show: (value) => number(value) }),
    chart({ title: "Freshness", about: "From an event's arrival to its recommendation.", series: (sample) => ({ median: sample.freshness_p50_ms, "99 %": sample.freshness_p99_ms }), show: milliseconds }),
    chart({ title: "HR@10, progressive", about: "Choices that were foreseen in the first ten, before they were learned.", series: (sample) => ({ "HR@10": sample.hr10 }), show: percent }),
    weightsChart(),
  ];
  page.append(
    h("h1", {}, "Overview"),
    h("dl", { class: "figures" }, FIGURES.map(([name], n) => h("div", {}, h("dt", {}, name), values[n]))),
    h("div", { class: "grid" }, charts.map((each) => each.card)),
  );
  return follow((now, history) => {
    if (!now) return;
    FIGURES.forEach(([, value], n) => { values[n].textContent = value(now, history[history.length - 1]); });
    for (const each of charts) each.update(history);
  });
}

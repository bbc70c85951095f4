// Why does each task weigh what it weighs, and what drifted?

import { ask } from "./api.js";
import { weightsChart } from "./charts.js";
import { h } from "./dom.js";
import { fixed, number, time } from "./format.js";
import { follow } from "./live.js";

const EVERY = 5; // samples, between two looks at the weights

/** Draw the page; returns how to leave it. */
export function learning(page) {
  const weights = h("div", {});
  const drift = h("div", {});
  const chart = weightsChart();
  page.append(h("h1", {}, "Learning"),
    h("section", { class: "card" }, h("h2", {}, "Weights now"), h("p", { class: "soft small" }, "From its value, by what the weighting sees: why each task counts as it does."), weights),
    chart.card,
    h("section", { class: "card" }, h("h2", {}, "Drift"), h("p", { class: "soft small" }, "The latest findings, as they are published on the drift topic."), drift));
  let looks = 0;

  async function look() {
    try {
      const found = await ask("learning");
      weights.replaceChildren(weightsTable(found.tasks));
      showDrift(found.drift);
    } catch (error) {
      weights.replaceChildren(h("p", {}, error.message));
    }
  }

  // Records that are opened to be read stay as they are until there is a new one.
  let shown = null;
  function showDrift(findings) {
    const now = JSON.stringify(findings);
    if (now === shown) return;
    shown = now;
    drift.replaceChildren(findings.length ? h("ol", { class: "timeline", reversed: true }, findings.toReversed().map(entry)) : h("p", {}, "No drift has been found."));
  }

  return follow((now, history) => {
    if (!now) return;
    chart.update(history);
    if (looks++ % EVERY === 0) look();
  });
}

function weightsTable(tasks) {
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Weights of the tasks" }, h("table", { class: "weights" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Task"),
      ["Value", "Weight", "Loss", "Gradient"].map((name) => h("th", { scope: "col", class: "num" }, name)))),
    tasks.map((task) => h("tbody", {},
      h("tr", {},
        h("th", { scope: "rowgroup" }, task.task),
        [task.value, task.weight].map((value) => h("td", { class: "num" }, fixed(value))),
        [task.loss, task.norm].map((value) => h("td", { class: "num" }, fixed(value, 3)))),
      h("tr", {}, h("td", { class: "why small", colspan: 5 }, task.sentence))))));
}

function entry(finding) {
  const worse = finding.direction === "worse";
  const what = [finding.task, finding.signal].filter(Boolean).join(" ");
  const at = finding.found_at_ms;
  return h("li", { class: worse ? "worse" : "better" },
    h("div", {}, h("b", {}, what || "a finding"), finding.direction ? `: ${finding.direction}` : "",
      Number.isFinite(finding.before) && Number.isFinite(finding.after) ? `, ${fixed(finding.before, 3)} → ${fixed(finding.after, 3)}` : ""),
    h("div", { class: "soft small" }, [at ? time(at) : null, finding.detector ? `found by ${finding.detector}` : null, Number.isFinite(finding.events) ? `after ${number(finding.events)} events` : null].filter(Boolean).join(" · ")),
    h("details", {}, h("summary", {}, "Record"), h("pre", { tabindex: "0" }, JSON.stringify(finding, null, 2))));
}

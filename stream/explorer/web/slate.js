// A slate with its reasons: what each score is the sum of, why each item is there, and what the last event changed.

import { h, id, link, s } from "./dom.js";
import { fixed, percent, time } from "./format.js";

const RULES = {
  repeat: "the user had it before",
  transition: "comes after what the user did",
  together: "goes together with what the user did",
  neural: "near to the user's history",
  popularity: "chosen by many just now",
  new: "one of the new items",
};
const WIDTH = 400;
const HEIGHT = 24;

/** The card of the slate of this moment, from what `/explorer/api/user` answers. */
export function slateCard(user) {
  const items = user.now.items;
  const names = [...new Set(items.flatMap((item) => Object.keys(item.parts ?? {})))];
  const list = h("ol", { class: "slate" });
  const choices = [["whole", "the whole score"], ["mean", "what differs from the slate's mean"]];
  const chosen = h("fieldset", {}, h("legend", {}, "Bars show"), choices.map(([value, text]) => h("label", {},
    h("input", { type: "radio", name: "bars", value, checked: value === "whole", onchange: () => draw(value) }), ` ${text}`)));

  function draw(what) {
    list.replaceChildren(...rows(user, names, what));
  }

  draw("whole");
  return h("section", { class: "card" },
    h("h2", {}, "The slate of this moment"),
    h("p", { class: "soft small" }, `As it would be made now, by the model's step ${user.now.model_step.toLocaleString("en")}, at event time ${time(user.now.moment_ms)}. Looking changes nothing.`),
    items.length ? [
      changes(user),
      h("ul", { class: "legend", "aria-label": "Parts of the score" }, names.map((name, n) => h("li", {}, h("span", { class: `key s${n % 10}`, "aria-hidden": "true" }), name))),
      chosen, list, numbers(user, names),
    ] : h("p", {}, "There is nothing to recommend."));
}

function rows(user, names, what) {
  const items = user.now.items;
  const means = names.map((name) => what === "mean" ? items.reduce((sum, item) => sum + (item.parts?.[name] ?? 0), 0) / items.length : 0);
  const parts = items.map((item) => names.map((name, n) => (item.parts?.[name] ?? 0) - means[n]));
  const low = Math.min(0, ...parts.map((row) => row.filter((part) => part < 0).reduce((a, b) => a + b, 0)));
  const high = Math.max(0, ...parts.map((row) => row.filter((part) => part > 0).reduce((a, b) => a + b, 0)));
  return items.map((item, n) => h("li", {},
    h("span", { class: "rank" }, `${item.rank + 1}.`),
    h("div", { class: "what" },
      h("div", {}, link("items", item.item_id), moved(user.without_last, item)),
      h("div", { class: "soft small" }, because(item))),
    bar(parts[n], names, what === "whole" ? item.score : null, low, high),
    h("span", { class: "num", title: "score" }, fixed(item.score))));
}

/** Negative parts to the left of zero and positive ones to the right; the thick mark is their sum, `score` where it is whole. */
function bar(parts, names, score, low, high) {
  const x = (value) => (WIDTH * (value - low)) / (high - low || 1);
  let left = 0;
  let right = 0;
  const rects = parts.flatMap((part, n) => {
    if (!part) return [];
    const from = part < 0 ? left + part : right;
    if (part < 0) left += part;
    else right += part;
    return [s("rect", { class: `s${n % 10}`, x: x(from), y: 3, width: x(from + Math.abs(part)) - x(from), height: HEIGHT - 6 },
      s("title", {}, `${names[n]} ${fixed(part)}`))];
  });
  const sum = left + right;
  const said = parts.map((part, n) => part ? `${names[n]} ${fixed(part)}` : null).filter(Boolean).join(", ");
  return s("svg", { class: "parts", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${fixed(score ?? sum)} is the sum of ${said || "nothing"}` },
    rects,
    s("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: HEIGHT }),
    s("line", { class: "score", x1: x(sum), x2: x(sum), y1: 0, y2: HEIGHT }));
}

function because(item) {
  const why = item.because === undefined || item.because === null
    ? `${item.source}: ${RULES[item.source] ?? "found it"}`
    : [`${item.source}, because of `, link("items", item.because)];
  const chance = percent(item.propensity ?? 1);
  if (item.placed === "explored") return [why, ` · tried, with a chance of ${chance}`];
  if (item.placed === "new") return [why, ` · tried because it is new, with a chance of ${chance}`];
  return why;
}

function moved(before, item) {
  if (!before) return null;
  const was = before.indexOf(item.item_id);
  if (was < 0) return h("span", { class: "moved good" }, "came in");
  if (was === item.rank) return null;
  return h("span", { class: `moved ${was > item.rank ? "good" : "bad-text"}` }, was > item.rank ? `▲ ${was - item.rank}` : `▼ ${item.rank - was}`);
}

function changes(user) {
  const now = user.now.items.map((item) => item.item_id);
  const last = user.history[user.history.length - 1];
  const published = user.slate.map((place) => place.item_id);
  return [
    last && user.without_last ? h("p", {},
      "The last event, ", h("b", {}, last.event_type), " of ", link("items", last.item_id), `, ${time(last.occurred_at_ms)}: `,
      difference(user.without_last, now, "without it in the history the slate would be the same.", "came in by it", "went out")) : null,
    user.slate_generated_at_ms ? h("p", {},
      `The published slate, ${time(user.slate_generated_at_ms)}: `,
      difference(published, now, "the same as now.", "came in since, by what was learned, by time, or to be tried", "went out")) : null,
  ];
}

function difference(before, after, same, came, went) {
  const entered = after.filter((item) => !before.includes(item));
  const left = before.filter((item) => !after.includes(item));
  if (!entered.length && !left.length) {
    return before.every((item, n) => item === after[n]) ? same : "the same items in another order.";
  }
  const named = (items, what) => items.length ? [items.map((item, n) => [n ? ", " : "", link("items", item)]), ` ${what}`] : [];
  const both = entered.length && left.length ? "; " : "";
  return [named(entered, came), both, named(left, went), "."];
}

function numbers(user, names) {
  const tasks = [...new Set(user.now.items.flatMap((item) => Object.keys(item.scores ?? {})))];
  return h("details", {}, h("summary", {}, "Numbers"),
    h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Parts of the scores" }, h("table", {},
      h("caption", { class: "soft small" }, "Parts add up to the score. What tasks foresee is a probability, or a value on the scale of its labels."),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Item"), h("th", { scope: "col", class: "num" }, "Score"),
        names.map((name) => h("th", { scope: "col", class: "num" }, name)), tasks.map((name) => h("th", { scope: "col", class: "num" }, `foreseen: ${name}`)))),
      h("tbody", {}, user.now.items.map((item) => h("tr", {},
        h("td", {}, id(item.item_id)), h("td", { class: "num" }, fixed(item.score, 3)),
        names.map((name) => h("td", { class: "num" }, fixed(item.parts?.[name] ?? 0, 3))),
        tasks.map((name) => h("td", { class: "num" }, fixed(item.scores?.[name] ?? null, 3)))))))));
}

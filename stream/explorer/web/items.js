// What goes with this item, how often is it chosen, and where is it recommended?

import { ask } from "./api.js";
import { h, id, link } from "./dom.js";
import { duration, fixed, number, percent, time } from "./format.js";
import { search } from "./search.js";

/** Draw the page about the item `chosen`, if one is. */
export async function items(page, chosen) {
  page.append(chosen === null ? h("h1", {}, "Items") : "", search("items", chosen));
  if (chosen === null) return;
  const place = h("div", { "aria-busy": "true" });
  page.append(place);

  async function show() {
    try {
      place.replaceChildren(...itemCards(await ask("item", { id: chosen }), show));
    } catch (error) {
      place.replaceChildren(h("h1", {}, id(chosen)), h("p", {}, error.message));
    }
    place.setAttribute("aria-busy", "false");
  }

  await show();
}

function itemCards(item, again) {
  const age = (at) => at === null ? "–" : duration(Math.max(item.moment_ms - at, 0) / 1000);
  return [
    h("div", { class: "heading" }, h("h1", {}, "Item ", id(item.item_id)), h("button", { onclick: again }, "Look again")),
    h("dl", { class: "figures" },
      figure("Age, since its first choice", age(item.first_at_ms)),
      figure("Since its last choice", age(item.last_at_ms)),
      figure("Choices of anything since the first", number(item.choices_since_first)),
      figure("Choices of anything since the last", number(item.choices_since_last)),
      figure("In slates made lately", item.recommended.slates ? percent(item.recommended.places / item.recommended.slates) : "–")),
    ...(item.chosen ? [] : [h("p", {}, "Nobody has chosen it yet.")]),
    h("div", { class: "grid" },
      companyCard("What follows it", "What users chose after it: shares of all that came after, summed over the half-lives.", item.followed_by),
      companyCard("What goes together with it", "What the same users chose, in whatever order.", item.together_with),
      countsCard(item),
      recommendedCard(item.recommended)),
  ];
}

function figure(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function companyCard(title, about, company) {
  const most = Math.max(...company.items.map((each) => each.strength), 1e-9);
  return h("section", { class: "card" }, h("h2", {}, title), h("p", { class: "soft small" }, about),
    company.items.length ? table(["Item", "Strength", ""], company.items.map((each) => [
      link("items", each.item_id), { number: fixed(each.strength) }, { meter: each.strength / most },
    ])) : h("p", {}, "Nothing yet."));
}

function countsCard(item) {
  const most = Math.max(...item.choices.map((each) => each.choices), 1e-9);
  return h("section", { class: "card" }, h("h2", {}, "How often it is chosen"),
    h("p", { class: "soft small" }, "Choices, each counting half after so much time, or after so many choices of anything."),
    table(["Half-life", "Choices", ""], item.choices.map((each) => [
      each.half_life_s !== undefined ? duration(each.half_life_s) : `${number(each.half_life_choices)} choices`,
      { number: fixed(each.choices) }, { meter: each.choices / most },
    ])));
}

function recommendedCard(found) {
  const shares = Object.entries(found.by_source).map(([source, count]) => `${source} ${percent(count / found.places)}`);
  const within = (places) => percent(Object.entries(found.by_rank).reduce((sum, [rank, count]) => sum + (rank < places ? count : 0), 0) / found.places);
  return h("section", { class: "card" }, h("h2", {}, "Where it is recommended"),
    h("p", { class: "soft small" }, `In ${number(found.places)} of this worker's latest ${number(found.slates)} slates.`),
    found.places ? [
      h("p", { class: "small" }, `In the first place of ${within(1)} of them, in the first five of ${within(5)}. By source: ${shares.join(", ")}.`),
      h("h3", {}, "For whom, lately"),
      table(["Made", "User", "Place", "Source"], found.latest.map((each) => [
        { soft: time(each.at_ms) }, link("users", each.user_id), { number: each.rank + 1 }, each.source,
      ])),
    ] : null);
}

/** Cells are nodes, texts, or `{number}`, `{meter}` between 0 and 1, `{soft}`. */
function table(names, rows) {
  const cell = (value) => {
    if (value?.number !== undefined) return h("td", { class: "num" }, value.number);
    if (value?.soft !== undefined) return h("td", { class: "soft small" }, value.soft);
    if (value?.meter === undefined) return h("td", {}, value);
    const bar = h("span", { class: "meter" });
    bar.style.width = `${(100 * Math.max(value.meter, 0)).toFixed(1)}%`;
    return h("td", { class: "metered", "aria-hidden": "true" }, bar);
  };
  const head = (name, n) => name ? h("th", { scope: "col", class: rows[0]?.[n]?.number !== undefined ? "num" : null }, name) : h("td", { "aria-hidden": "true" });
  return h("div", { class: "wide" }, h("table", {},
    h("thead", {}, h("tr", {}, names.map(head))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell))))));
}

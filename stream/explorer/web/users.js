// Why did this user get this?

import { ask } from "./api.js";
import { h, id, link } from "./dom.js";
import { number, time } from "./format.js";
import { search } from "./search.js";
import { slateCard } from "./slate.js";

/** Draw the page about the user `chosen`, if one is. */
export async function users(page, chosen) {
  page.append(chosen === null ? h("h1", {}, "Users") : "", search("users", chosen));
  if (chosen === null) return;
  const place = h("div", { "aria-busy": "true" });
  page.append(place);

  async function show() {
    place.setAttribute("aria-busy", "true");
    try {
      place.replaceChildren(...userCards(await ask("user", { id: chosen }), show));
    } catch (error) {
      place.replaceChildren(h("h1", {}, id(chosen)), h("p", {}, error.message));
    }
    place.setAttribute("aria-busy", "false");
  }

  await show();
}

function userCards(user, again) {
  return [
    h("div", { class: "heading" }, h("h1", {}, "User ", id(user.user_id)), h("button", { onclick: again }, "Look again")),
    h("dl", { class: "figures" },
      figure("Events", number(user.events)),
      figure("Partition", user.partition < 0 ? "–" : user.partition),
      figure("Remembered", number(user.history.length)),
      figure("Waiting impressions", number(user.pending_total)),
      figure("Slate published", user.slate_generated_at_ms ? time(user.slate_generated_at_ms) : "–")),
    slateCard(user),
    h("div", { class: "grid" }, historyCard(user), pendingCard(user)),
  ];
}

function figure(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function historyCard(user) {
  const counts = Object.entries(user.history_counts).map(([type, count]) => `${number(count)} ${type}`);
  return h("section", { class: "card" },
    h("h2", {}, "History"),
    h("p", { class: "soft small" }, user.history.length ? `The latest first: ${counts.join(", ")}.` : "Nothing is remembered yet."),
    user.history.length ? h("div", { class: "wide" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Event time", "Event", "Item"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, user.history.toReversed().map((event) => h("tr", {},
        h("td", { class: "soft small" }, time(event.occurred_at_ms)), h("td", {}, event.event_type), h("td", {}, link("items", event.item_id))))))) : null);
}

function pendingCard(user) {
  return h("section", { class: "card" },
    h("h2", {}, "Waiting impressions"),
    h("p", { class: "soft small" }, user.pending_total
      ? `Shown, and not known yet what comes of it${user.pending_total > user.pending.length ? `; the latest ${user.pending.length}` : ""}.`
      : "None: what comes of everything that was shown is known."),
    user.pending.length ? h("div", { class: "wide" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Shown", "Item"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, user.pending.toReversed().map((shown) => h("tr", {},
        h("td", { class: "soft small" }, time(shown.shown_at_ms)), h("td", {}, link("items", shown.item_id))))))) : null);
}

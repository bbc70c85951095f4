// Which page is shown, and whose.

import { h, id } from "./dom.js";
import { number } from "./format.js";
import { items } from "./items.js";
import { learning } from "./learning.js";
import { follow, start } from "./live.js";
import { overview } from "./overview.js";
import { users } from "./users.js";

const PAGES = { overview, users, items, learning };
const page = document.getElementById("page");
let leave = null;

async function show(focus) {
  const [, name, query] = /^#\/(\w+)(?:\?(.*))?$/.exec(location.hash) ?? [null, "overview", ""];
  const draw = PAGES[name] ?? overview;
  leave?.();
  leave = null;
  page.replaceChildren();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${draw.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const chosen = new URLSearchParams(query).get("id");
  document.title = chosen === null ? `${draw.name} · freshet` : `${chosen} · freshet`;
  if (focus) page.focus();
  const left = draw(page, chosen);
  if (typeof left === "function") leave = left;
}

/** Several workers share a group: this one shows itself. */
function showWorker(now, error) {
  const state = document.getElementById("state");
  state.textContent = error ? `${error.message} Trying again.` : [...now.worker.not_alive, ...now.worker.not_ready].map((reason) => `Worker: ${reason}.`.replace("..", ".")).join(" ");
  if (!now) return;
  const { name, owned, partitions } = now.worker;
  const healthy = !now.worker.not_alive.length && !now.worker.not_ready.length;
  document.getElementById("worker").replaceChildren(
    h("span", { class: healthy ? "dot" : "dot bad", role: "img", "aria-label": healthy ? "ready" : "not ready" }),
    "Worker ", id(name), owned.length ? ` · partition${owned.length === 1 ? "" : "s"} ${ranges(owned)} of ${number(partitions)}` : " · no partitions");
}

/** [0, 1, 2, 5] as "0–2, 5". */
function ranges(numbers) {
  const found = [];
  for (const one of numbers) {
    const last = found[found.length - 1];
    if (last && last[1] === one - 1) last[1] = one;
    else found.push([one, one]);
  }
  return found.map(([from, to]) => from === to ? `${from}` : `${from}–${to}`).join(", ");
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  page.focus();
});
addEventListener("hashchange", () => show(true));
follow((now, history, error) => showWorker(now, error));
start();
show(false);

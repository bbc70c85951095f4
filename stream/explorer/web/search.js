// Find a user or an item by the beginning of its id; with nothing written, those that were there last.

import { ask } from "./api.js";
import { h, link } from "./dom.js";
import { number } from "./format.js";

const WAIT_MS = 200;
const BESIDE = 8; // are enough where one is chosen already

/** A card with the search; `kind` is users or items, `chosen` the id that is shown. */
export function search(kind, chosen) {
  const one = kind === "users" ? "user" : "item";
  const input = h("input", { type: "search", autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: 1024, enterkeyhint: "search" });
  const said = h("p", { class: "soft small", role: "status" });
  const found = h("ul", { class: "found" });
  const card = h("section", { class: "card", "aria-label": `Find a ${one}` },
    h("form", { class: "search", role: "search", onsubmit: (event) => { event.preventDefault(); open(); } },
      h("label", {}, `The ${one}'s id, or how it begins`, input),
      h("button", {}, "Show")),
    said, found);
  let timer = 0;
  let asked = 0;

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  });

  async function look() {
    const number_ = ++asked;
    try {
      const answer = await ask("find", { kind, prefix: input.value });
      if (number_ === asked) show(answer);
      return answer;
    } catch (error) {
      if (number_ === asked) said.textContent = error.message;
      return null;
    }
  }

  function show(answer) {
    const told = chosen !== null && !answer.prefix ? answer.found.slice(0, BESIDE) : answer.found;
    found.replaceChildren(...told.map((text) => h("li", {}, link(kind, text, { "aria-current": text === chosen ? "true" : null }))));
    const count = answer.found.length;
    if (!answer.of) said.textContent = `This worker knows no ${kind} yet.`;
    else if (!answer.prefix) said.textContent = `The latest of ${number(answer.of)} ${kind}:`;
    else if (!count) said.textContent = `No ${one} begins with that.`;
    else said.textContent = `The latest ${count === 1 ? "one" : number(count)} that begin${count === 1 ? "s" : ""} with that:`;
  }

  async function open() {
    clearTimeout(timer);
    const answer = await look();
    if (answer?.found.length) location.hash = `#/${kind}?id=${encodeURIComponent(answer.found[0])}`;
  }

  look();
  return card;
}

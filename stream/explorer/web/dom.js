// Elements from what is given. Texts are only ever texts: ids are anybody's, and none of them becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`onclick`) and children: elements, texts, lists of them, or nothing. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for a drawing. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** An id, for people: what cannot be seen, or would turn the text around, is written out. */
export function id(text) {
  return h("bdi", { class: "id" }, readable(text));
}

/** A link to a page of the explorer about a user or an item. */
export function link(kind, text, attributes = {}) {
  return h("a", { href: `#/${kind}?id=${encodeURIComponent(text)}`, ...attributes }, id(text));
}

/** Invisible characters written out. */
export function readable(text) {
  if (text === "") return "(empty)";
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

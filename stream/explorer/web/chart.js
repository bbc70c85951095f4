// Lines over time.

import { h, s } from "./dom.js";
import { duration, time } from "./format.js";

const WIDTH = 600;
const HEIGHT = 150;

/**
 * A card with lines.
 * `series(sample)` gives `{name: number or null}`; `show` writes a number; `bounds` are the axis's ends, null to fit.
 * `update(history)` draws it anew.
 */
export function chart({ title, about, series, show, low = 0, high = null }) {
  const legend = h("ul", { class: "legend" });
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const axis = Object.fromEntries(["top", "low", "from", "to"].map((at) => [at, h("span", { class: `axis ${at}`, "aria-hidden": "true" })]));
  const plot = h("div", { class: "chart" }, svg, Object.values(axis));
  const card = h("section", { class: "card" }, h("h2", {}, title), h("p", { class: "soft small" }, about), legend, plot);
  let history = [];
  let pointed = null;

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    pointed = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    draw();
  });
  svg.addEventListener("pointerleave", () => {
    pointed = null;
    draw();
  });

  function draw() {
    const rows = history.map(series);
    const names = rows.length ? Object.keys(rows[rows.length - 1]) : [];
    const values = rows.flatMap((row) => names.map((name) => row[name])).filter((value) => Number.isFinite(value));
    const top = high ?? nice(Math.max(...values, 0));
    const bottom = low ?? 0;
    const first = history[0]?.at_ms ?? 0;
    const span = Math.max((history[history.length - 1]?.at_ms ?? 0) - first, 1);
    const x = (at) => (WIDTH * (at - first)) / span;
    const y = (value) => HEIGHT - (HEIGHT * (value - bottom)) / (top - bottom || 1);
    const at = pointed === null ? history.length - 1 : nearest(history, first + pointed * span);

    svg.replaceChildren(
      ...[0, 0.5, 1].map((part) => s("line", { class: "rule", x1: 0, x2: WIDTH, y1: part * HEIGHT, y2: part * HEIGHT })),
      ...names.flatMap((name, n) => pieces(rows.map((row, m) => [x(history[m].at_ms), row[name]]))
        .map((piece) => s("polyline", { class: `line s${n % 10}`, points: piece.map(([px, value]) => `${px.toFixed(1)},${y(value).toFixed(1)}`).join(" ") }))),
      ...(pointed !== null && history[at] ? [s("line", { class: "hair", x1: x(history[at].at_ms), x2: x(history[at].at_ms), y1: 0, y2: HEIGHT })] : []),
    );
    legend.replaceChildren(...names.map((name, n) => h("li", {},
      h("span", { class: `key s${n % 10}`, "aria-hidden": "true" }), names.length > 1 ? `${name} ` : "",
      h("b", {}, show(rows[at]?.[name] ?? null)))));
    axis.top.textContent = show(top);
    axis.low.textContent = show(bottom);
    axis.from.textContent = history.length > 1 ? `${duration(span / 1000)} ago` : "";
    axis.to.textContent = pointed === null ? "now" : time(history[at]?.at_ms);
    const said = names.map((name) => `${name} ${show(rows[rows.length - 1][name])}`).join(", ");
    svg.setAttribute("aria-label", `${title}, the last ${duration(span / 1000)}: now ${said || "nothing yet"}`);
  }

  return {
    card,
    update(now) {
      history = now;
      draw();
    },
  };
}

/** Stretches without gaps; a lone point is drawn as a short line. */
function pieces(points) {
  const found = [];
  let piece = [];
  for (const point of [...points, [0, null]]) {
    if (Number.isFinite(point[1])) piece.push(point);
    else if (piece.length) {
      found.push(piece.length > 1 ? piece : [piece[0], [piece[0][0] + 2, piece[0][1]]]);
      piece = [];
    }
  }
  return found;
}

function nearest(history, at) {
  let best = 0;
  history.forEach((sample, n) => {
    if (Math.abs(sample.at_ms - at) < Math.abs(history[best].at_ms - at)) best = n;
  });
  return best;
}

/** The next 1, 1.5, 2, 3, 5 or 7.5 times a power of ten. */
function nice(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return size * ([1, 1.5, 2, 3, 5, 7.5, 10].find((step) => value <= step * size) ?? 10);
}

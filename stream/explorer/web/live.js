// What the worker's figures are now and were in the last minutes; asked for every other second, while somebody looks.

import { ask } from "./api.js";

const KEPT = 300;
const listeners = new Set();
let history = [];
let latest = null;
let timer = 0;

/** Be told of each sample: `listener(latest, history)`, or `listener(null, history, error)`. Returns how to stop it. */
export function follow(listener) {
  listeners.add(listener);
  if (latest) listener(latest, history);
  return () => listeners.delete(listener);
}

/** Begin to ask. */
export function start() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !timer) look();
  });
  look();
}

async function look() {
  timer = 0;
  let error = null;
  try {
    const since = history.length ? history[history.length - 1].at_ms : 0;
    const found = await ask("overview", { since });
    // Another worker at the same address, or the same one started again, has a history of its own.
    const another = latest && latest.worker.started_at_ms !== found.worker.started_at_ms;
    history = another ? found.history : [...history, ...found.history].slice(-KEPT);
    latest = found;
  } catch (failed) {
    error = failed;
  }
  for (const listener of [...listeners]) listener(error ? null : latest, history, error);
  const every = (latest?.every_s ?? 2) * 1000;
  if (!document.hidden) timer = setTimeout(look, every);
}

// Numbers and times, for people.

const NOTHING = "–";

/** As many digits as help. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return value.toLocaleString("en", { maximumSignificantDigits: digits });
}

/** With so many digits after the point. */
export function fixed(value, digits = 2) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  return value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
}

export function percent(value) {
  if (value === null || value === undefined) return NOTHING;
  return value > 0 && value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`;
}

/** A time of UTC milliseconds, on this machine's clock. */
export function time(ms) {
  if (!ms) return NOTHING;
  const at = new Date(ms);
  const clock = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? clock : `${at.toLocaleDateString("en-CA")} ${clock}`;
}

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return NOTHING;
  return ms < 1000 ? `${Math.round(ms)} ms` : duration(ms / 1000);
}

/** Seconds in the largest unit that fits. */
export function duration(seconds) {
  const units = [["year", 31557600], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [name, size] = units.find(([, size]) => seconds >= size) ?? units[4];
  const count = seconds / size;
  const text = number(count, count < 10 ? 2 : 3);
  return `${text} ${name}${text === "1" ? "" : "s"}`;
}

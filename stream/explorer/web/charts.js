// The charts that more than one page shows.

import { chart } from "./chart.js";
import { fixed } from "./format.js";

export function weightsChart() {
  return chart({
    title: "Task weights",
    about: "How much each task's gradient counts.",
    series: (sample) => sample.weights,
    show: (value) => fixed(value),
  });
}

// The charts of the last day.

import { get, path } from "./api.js";
import { el, fill, load } from "./dom.js";
import { number, t } from "./text.js";

const CHARTS = [
  ["bitrate", "charts.bitrate", 0],
  ["readahead", "charts.readahead", 1],
  ["speed", "charts.speed", 2],
  ["reconnects", "charts.reconnects", 0],
];

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draws the last `hours` of a channel into `node`. */
export async function draw(node, channel, hours) {
  const [columns] = await Promise.all([
    get(path(channel, `/history?hours=${hours}`)),
    load("/vendor/uplot.js"),
    load("/vendor/uplot.css"),
  ]);
  if (columns.time.length < 2) return fill(node, el("p.dim", {}, t("charts.too_few")));
  fill(node);
  const width = Math.max(260, node.clientWidth);
  const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  for (const [key, title, digits] of CHARTS) {
    const values = columns[key].filter((value) => value !== null);
    const name = t(title);
    const words = values.length
      ? t("charts.summary", { last: number(values.at(-1), digits), least: number(Math.min(...values), digits), most: number(Math.max(...values), digits) })
      : t("charts.no_values");
    const box = el("div.chart", { role: "img", "aria-label": `${name}: ${words}` });
    node.append(el("h3", {}, name, " ", el("span.dim", {}, words)), box);
    new window.uPlot({
      width, height: 150,
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 1) * 1.1 || 1] } },
      series: [{}, { label: name, stroke: color("--accent"), width: 1.5, fill: color("--hover"), spanGaps: false }],
      axes: [axis, { ...axis, size: 56 }],
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
    }, [columns.time, columns[key]], box);
  }
}

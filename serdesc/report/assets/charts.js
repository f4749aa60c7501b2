// Charts as SVG: lines, bars, and a value with its interval and chance.
"use strict";

const SERIES = ["solid", "dashed", "dotted", "dashdot", "long"];

function ticks(low, high, count) {
  const span = high - low || 1;
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw);
  const found = [];
  for (let v = Math.ceil(low / size) * size; v <= high + 1e-9; v += size) found.push(Number(v.toPrecision(6)));
  return found;
}

function tickText(value) {
  const size = Math.abs(value);
  if (size >= 1000) return `${Number((value / 1000).toPrecision(3))}k`;
  return size && size < 0.01 ? value.toExponential(0) : String(Number(value.toPrecision(3)));
}

// Lines over a common x axis. series: {name, x, y, style}; style numbers a stroke pattern.
function lineChart({ title, xLabel, yLabel, series, zero = true, width = 420, height = 220 }) {
  const present = series.filter((one) => one.y.some((v) => v !== null));
  const xs = present.flatMap((one) => one.x);
  const ys = present.flatMap((one) => one.y.filter((v) => v !== null));
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const y0 = zero ? Math.min(0, ...ys) : Math.min(...ys);
  const y1 = Math.max(...ys) * 1.04 || 1;
  const box = { left: 48, right: 10, top: 8, bottom: 34 };
  const px = (x) => box.left + ((x - x0) / (x1 - x0 || 1)) * (width - box.left - box.right);
  const py = (y) => height - box.bottom - ((y - y0) / (y1 - y0 || 1)) * (height - box.top - box.bottom);
  const path = (one) => one.x.map((x, i) => (one.y[i] === null ? "" : `${i && one.y[i - 1] !== null ? "L" : "M"}${px(x).toFixed(1)} ${py(one.y[i]).toFixed(1)}`)).join("");
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": title },
    svg("title", {}, title),
    ticks(y0, y1, 4).map((v) => [
      svg("line", { class: "grid", x1: box.left, x2: width - box.right, y1: py(v), y2: py(v) }),
      svg("text", { class: "tick", x: box.left - 6, y: py(v) + 3.5, "text-anchor": "end" }, tickText(v))]),
    ticks(x0, x1, 5).map((v) => svg("text", { class: "tick", x: px(v), y: height - box.bottom + 14, "text-anchor": "middle" }, tickText(v))),
    svg("text", { class: "axis", x: (width + box.left) / 2, y: height - 4, "text-anchor": "middle" }, xLabel),
    svg("text", { class: "axis", x: 11, y: height / 2 - 12, transform: `rotate(-90 11 ${height / 2 - 12})`, "text-anchor": "middle" }, yLabel),
    present.map((one, i) => svg("path", { class: `line s${(one.colour ?? i) % 6} ${SERIES[(one.style ?? 0) % 5]}`, d: path(one) },
      svg("title", {}, one.name))));
  return h("figure", {}, h("figcaption", {}, title), chart, legend(present));
}

function legend(series) {
  if (series.length < 2) return null;
  return h("div", { class: "legend" }, series.map((one, i) => h("span", { class: "entry" },
    svg("svg", { viewBox: "0 0 26 8", class: "key", "aria-hidden": "true" },
      svg("path", { class: `line s${(one.colour ?? i) % 6} ${SERIES[(one.style ?? 0) % 5]}`, d: "M0 4H26" })), one.name)));
}

// Groups of bars. groups: [{name, values}], bars: names of the values of a group.
function barChart({ title, xLabel, yLabel, groups, bars, width = 420, height = 220 }) {
  const top = Math.max(...groups.flatMap((g) => g.values.filter((v) => v !== null))) * 1.06 || 1;
  const box = { left: 48, right: 10, top: 8, bottom: 34 };
  const slot = (width - box.left - box.right) / groups.length;
  const bar = Math.min(26, (0.76 * slot) / bars.length);
  const py = (y) => height - box.bottom - (y / top) * (height - box.top - box.bottom);
  const x = (g, b) => box.left + slot * (g + 0.5) + bar * (b - bars.length / 2);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": title },
    svg("title", {}, title),
    ticks(0, top, 4).map((v) => [
      svg("line", { class: "grid", x1: box.left, x2: width - box.right, y1: py(v), y2: py(v) }),
      svg("text", { class: "tick", x: box.left - 6, y: py(v) + 3.5, "text-anchor": "end" }, tickText(v))]),
    groups.map((g, i) => [
      g.values.map((v, b) => v === null ? null : svg("rect", { class: `bar s${b % 6}`, x: x(i, b) + 0.5, y: py(v), width: bar - 1, height: Math.max(0.5, py(0) - py(v)) },
        svg("title", {}, `${bars[b]}, ${g.name}: ${tickText(v)}`))),
      groups.length <= 14 || i % 2 === 0 ? svg("text", { class: "tick", x: box.left + slot * (i + 0.5), y: height - box.bottom + 14, "text-anchor": "middle" }, g.name) : null]),
    svg("text", { class: "axis", x: (width + box.left) / 2, y: height - 4, "text-anchor": "middle" }, xLabel),
    svg("text", { class: "axis", x: 11, y: height / 2 - 12, transform: `rotate(-90 11 ${height / 2 - 12})`, "text-anchor": "middle" }, yLabel));
  const keys = bars.length < 2 ? null : h("div", { class: "legend" }, bars.map((name, b) => h("span", { class: "entry" },
    svg("svg", { viewBox: "0 0 12 12", class: "key square", "aria-hidden": "true" }, svg("rect", { class: `bar s${b % 6}`, width: 12, height: 12 })), name)));
  return h("figure", {}, h("figcaption", {}, title), chart, keys);
}

// A value (dot), its 95 % interval (bar) and its chance level (tick) between low and high.
function intervalPlot(value, interval, chance, low = 0, high = 100) {
  const share = (v) => (100 * (Math.min(high, Math.max(low, v)) - low)) / (high - low);
  const px = (v) => `${share(v).toFixed(2)}%`;
  const known = chance !== null && chance !== undefined;
  const label = `value ${number(value)}${known ? `, chance ${number(chance)}` : ""}`;
  return svg("svg", { class: "interval", role: "img", "aria-label": label },
    svg("line", { class: "base", x1: "0%", x2: "100%", y1: 9, y2: 9 }),
    interval && svg("rect", { class: "span", x: px(interval[0]), width: `${Math.max(0.5, share(interval[1]) - share(interval[0]))}%`, y: 5, height: 8, rx: 2 }),
    known && svg("line", { class: "chance", x1: px(chance), x2: px(chance), y1: 1, y2: 17 }, svg("title", {}, `chance ${number(chance)}`)),
    svg("circle", { class: "dot", cx: px(value), cy: 9, r: 3.5 }));
}

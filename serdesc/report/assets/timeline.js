// Recordings over time: their pieces as blocks of emotion, and the levels of pitch, energy and speed.
"use strict";

const lineSeconds = () => (narrow() ? 60 : 300);
const LEVELS = { pitch: ["low", "normal", "high"], energy: ["low", "normal", "high"], speed: ["slow", "normal", "fast"] };

function drawTimeline(container) {
  const recordings = new Map();
  for (const row of serdesc.rows) {
    if (!recordings.has(row.rec)) recordings.set(row.rec, []);
    recordings.get(row.rec).push(row);
  }
  const blocks = [...recordings].map(([name, rows]) => {
    const end = Math.max(...rows.map((row) => (row.start || 0) + row.sec));
    const size = lineSeconds(), length = Math.min(size, end);
    const within = (from) => rows.filter((row) => row.start + row.sec > from && row.start < from + size);
    const lines = [];
    for (let from = 0; from < end; from += size) lines.push(timeLine(within(from), from, length));
    const counts = counted(rows, () => "all", emotionOf).get("all");
    const shares = [...counts].sort((a, b) => b[1] - a[1]).map(([emotion, n]) => h("a", { class: "share", href: hashOfFilter({ rec: name, hyp: emotion }) }, `${emotion} ${n}`));
    return section(name, `${clock(end)} · ${rows.length} ${rows.length === 1 ? "piece" : "pieces"}`, h("p", { class: "shares" }, shares), lines);
  });
  container.replaceChildren(h("div", { class: "page" }, h("div", { class: "title" }, h("h1", {}, serdesc.summary.name),
    h("p", { class: "note" }, `${serdesc.summary.described} · a block opens its piece; bars below it: low, middle or high`)), blocks));
}

function timeLine(rows, from, length) {
  const width = Math.min(1140, document.documentElement.clientWidth - 40), lane = 22, left = 56;
  const px = (seconds) => left + ((seconds - from) / length) * (width - left);
  const emotions = serdesc.emotions || (serdesc.emotions = [...new Set(serdesc.rows.map(emotionOf))].filter((name) => name !== "unread").sort());
  const lanes = Object.keys(LEVELS);
  const height = 30 + lanes.length * lane + 14;
  const blocks = rows.map((row) => {
    const start = Math.max(from, row.start || 0), end = Math.min(from + length, (row.start || 0) + row.sec);
    const wide = Math.max(2, px(end) - px(start) - 1);
    const name = emotionOf(row);
    const letters = Math.floor(wide / 7);
    const text = letters >= name.length ? name : letters >= 2 ? name.slice(0, Math.min(3, letters)) : "";
    return svg("a", { href: hashOfFilter({ u: keyOf(row) }), "aria-label": `${clock(row.start || 0)} ${name}` },
      svg("title", {}, `${clock(row.start || 0)}: ${row.cap}`),
      svg("rect", { class: `block ${name === "unread" ? "none" : `s${emotions.indexOf(name) % 6} p${Math.floor(emotions.indexOf(name) / 6)}`}`, x: px(start), width: wide, y: 2, height: 24, rx: 2 }),
      text && svg("text", { class: `blocktext${name === "unread" ? " none" : ""}`, x: px(start) + 3, y: 18 }, text),
      lanes.map((axis, i) => {
        const rank = LEVELS[axis].indexOf(row.hyp[axis]);
        const y = 30 + (i + 1) * lane - 5 - (rank * (lane - 9)) / 2;
        return rank < 0 ? null : svg("rect", { class: `step f-${axis}`, x: px(start), width: wide, y, height: 3 });
      }));
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "timeline", role: "group", "aria-label": `from ${clock(from)}` },
    svg("text", { class: "tick", x: 0, y: 18 }, "emotion"),
    lanes.map((axis, i) => [svg("text", { class: "tick", x: 0, y: 30 + (i + 1) * lane - 8 }, axis),
      svg("line", { class: "grid", x1: left, x2: width, y1: 30 + (i + 1) * lane, y2: 30 + (i + 1) * lane })]),
    blocks,
    ticks(from, from + length, 6).map((v) => svg("text", { class: "tick", x: Math.min(width - 16, px(v)), y: height - 3, "text-anchor": "middle" }, clock(v).replace(/\.\d$/, ""))));
}

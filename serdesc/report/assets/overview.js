// The views beside the list: scores, confusion, descriptors, training, and how it was run.
"use strict";

const GROUPS = [
  ["Emotion", (m) => /^(ua|wa|.*f1.*|.*ece.*|.*nll.*|.*posterior.*|.*closed.*|.*mapped.*)$/.test(m)],
  ["Transcript", (m) => m === "wer" || m === "cer"],
  ["Descriptors", (m) => (serdesc.fields || []).some((field) => m.startsWith(field))],
  ["Caption text", () => true],
];

function drawOverview(container) {
  const { summary } = serdesc;
  container.replaceChildren(h("div", { class: "page" },
    h("div", { class: "title" }, h("h1", {}, summary.name), h("p", { class: "note" }, `${summary.part} part · ${summary.described}`)),
    headline(), h("div", { class: "pair" }, confusionBlock(), descriptorBlock()),
    summary.compare ? comparison() : null,
    scoreBlock(), foldBlock(), unreadBlock(),
    summary.tests.map((test) => section(capital(test.title), null, textTable(test.head, test.rows, test.labels)))));
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const scoreOf = (name) => serdesc.summary.scores.find((score) => score.metric === name && score.value !== null);

function headline() {
  const wanted = ["ua", "wa", "wer", ...(serdesc.fields || []).filter((f) => f !== "emotion")];
  const tiles = wanted.map(scoreOf).filter(Boolean).map((score) => h("div", { class: "tile" },
    h("h3", {}, score.unit.replace(/ %$/, "")),
    h("p", { class: "figure" }, number(score.value), h("small", {}, " %")),
    intervalPlot(score.value, score.interval, score.chance),
    h("p", { class: "note" }, score.interval ? `${number(score.interval[0])}–${number(score.interval[1])}` : ""),
    h("p", { class: "note" }, score.chance === null ? "" : `chance ${number(score.chance)}`)));
  return h("div", { class: "tiles" }, tiles);
}

// ---- confusion and descriptors ------------------------------------------------------------------

function counted(rows, first, second) {
  const table = new Map();
  for (const row of rows) {
    const a = first(row), b = second(row);
    if (a === undefined) continue;
    if (!table.has(a)) table.set(a, new Map());
    table.get(a).set(b, (table.get(a).get(b) || 0) + 1);
  }
  return table;
}

function confusionBlock() {
  const scored = serdesc.rows.filter((row) => row.ref.emotion !== undefined);
  if (!scored.length) return null;
  const table = counted(scored, (row) => row.ref.emotion, emotionOf);
  const labels = [...table.keys()].sort();
  const said = [...new Set(scored.map(emotionOf))].sort((a, b) => (a === "unread") - (b === "unread") || collator.compare(a, b));
  const rows = labels.map((label) => {
    const counts = table.get(label);
    const n = [...counts.values()].reduce((a, b) => a + b, 0);
    const cells = said.map((name) => cell(counts.get(name) || 0, n, label === name, { ref: label, hyp: name },
      `${counts.get(name) || 0} of ${n} ${label} utterances are ${name} in the caption`));
    return h("tr", {}, h("th", { scope: "row" }, label), cells, h("td", { class: "num" }, number((100 * (counts.get(label) || 0)) / n)), h("td", { class: "num" }, n));
  });
  return section("Confusion of the emotions", "Reference in rows, caption in columns. A cell opens its utterances.",
    h("div", { class: "scroll" }, h("table", { class: "matrix", id: "confusion" },
      h("thead", {}, h("tr", {}, h("th", {}, ""), said.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col", class: "num" }, "recall %"), h("th", { scope: "col", class: "num" }, "n"))),
      h("tbody", {}, rows))));
}

// A shaded cell that links to its utterances; its text states what the shade does.
function cell(count, n, diagonal, filter, title) {
  const share = n ? count / n : 0;
  return h("td", { class: `shade${diagonal ? " diagonal" : ""}`, vars: { "--share": share } },
    count ? h("a", { href: hashOfFilter(filter), title }, h("b", {}, count), h("small", {}, ` ${number(100 * share, 0)} %`)) : h("span", { class: "zero" }, "0"));
}

function descriptorBlock() {
  const names = (serdesc.fields || []).filter((name) => name !== "emotion" && serdesc.rows.some((row) => row.right[name] !== undefined));
  const emotions = [...new Set(serdesc.rows.map((row) => row.ref.emotion).filter(Boolean))].sort();
  if (!names.length || !emotions.length) return null;
  const share = (rows, name) => {
    const counted = rows.filter((row) => row.right[name] !== undefined);
    return [counted.filter((row) => row.right[name]).length, counted.length];
  };
  const body = names.map((name) => h("tr", {}, h("th", { scope: "row" }, h("span", { class: `tag f-${name}` }, short(name)), " ", name),
    [...emotions, null].map((emotion) => {
      const rows = emotion ? serdesc.rows.filter((row) => row.ref.emotion === emotion) : serdesc.rows;
      const [right, n] = share(rows, name);
      if (!n) return h("td", {}, "–");
      return h("td", { class: "shade", vars: { "--share": right / n } },
        h("a", { href: hashOfFilter({ ...(emotion ? { ref: emotion } : {}), field: `${name}:wrong` }), title: `${right} of ${n} right; opens the wrong ones` }, h("b", {}, number((100 * right) / n))));
    })));
  return section("Descriptors by emotion", "Share of captions with the right value, %. A cell opens the wrong ones.",
    h("div", { class: "scroll" }, h("table", { class: "matrix" },
      h("thead", {}, h("tr", {}, h("th", {}, ""), emotions.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, "all"))),
      h("tbody", {}, body))));
}

function comparison() {
  const { name, compare } = serdesc.summary;
  const fields = (serdesc.fields || []).filter((field) => serdesc.rows.some((row) => whoOf(row, field) !== "none"));
  const who = ["both", "a", "b", "neither"];
  const line = (title, rows, field, filter) => {
    const counts = who.map((one) => rows.filter((row) => whoOf(row, field) === one).length);
    const n = counts.reduce((a, b) => a + b, 0);
    return h("tr", {}, h("th", { scope: "row" }, title), counts.map((count, i) => cell(count, n, false, { ...filter, who: `${field}:${who[i]}` }, `${count} of ${n}`)), h("td", { class: "num" }, n));
  };
  const emotions = [...new Set(serdesc.rows.map((row) => row.ref.emotion).filter(Boolean))].sort();
  return section(`Who is right where: ${name} and ${compare}`, "A cell opens its utterances.",
    h("div", { class: "scroll" }, h("table", { class: "matrix", id: "compare" },
      h("thead", {}, h("tr", {}, h("th", {}, ""), ["both", `only ${name}`, `only ${compare}`, "neither"].map((text) => h("th", { scope: "col" }, text)), h("th", { scope: "col", class: "num" }, "n"))),
      h("tbody", {}, fields.map((field) => line(field, serdesc.rows, field, {})),
        emotions.map((emotion) => line(`emotion of ${emotion}`, serdesc.rows.filter((row) => row.ref.emotion === emotion), "emotion", { ref: emotion }))))));
}

// ---- scores -------------------------------------------------------------------------------------

function scoreBlock() {
  const { scores, notes } = serdesc.summary;
  const baselines = [...new Set(scores.flatMap((score) => Object.keys(score.baselines)))];
  const used = new Set();
  const body = GROUPS.map(([title, belongs]) => {
    const group = scores.filter((score) => score.value !== null && !used.has(score) && belongs(score.metric));
    for (const score of group) used.add(score);
    if (!group.length) return null;
    return [h("tr", { class: "group" }, h("th", { colspan: 8 + baselines.length, scope: "colgroup" }, title)), group.map((score) => scoreRow(score, baselines))];
  });
  const head = ["score", "value", "95 %", "", "chance", ...baselines, "folds", "n", "unread"];
  return section("All scores", "● value, bar: 95 % interval, │ chance; from 0 to 100. A row opens its signature.",
    h("div", { class: "scroll" }, h("table", { class: "scores", id: "scores" },
      h("thead", {}, h("tr", {}, head.map((text, i) => h("th", { scope: "col", class: i === 0 || i === 3 ? "label" : "num" }, text)))),
      h("tbody", {}, body))),
    notes.map((note) => h("p", { class: "note" }, note)));
}

function scoreRow(score, baselines) {
  const bounds = score.interval ? [Math.min(0, score.interval[0]), Math.max(100, score.interval[1])] : [Math.min(0, score.value), Math.max(100, score.value)];
  const folds = score.mean === null || score.mean === undefined ? "" : `${number(score.mean)}${score.deviation === null || score.deviation === undefined ? "" : ` ± ${number(score.deviation)}`}`;
  return h("tr", {},
    h("th", { scope: "row" }, h("details", {}, h("summary", {}, score.unit), h("code", {}, score.signature))),
    h("td", { class: "num strong" }, number(score.value)),
    h("td", { class: "num" }, score.interval ? `${number(score.interval[0])}–${number(score.interval[1])}` : ""),
    h("td", { class: "plot" }, intervalPlot(score.value, score.interval, score.chance, ...bounds)),
    h("td", { class: "num" }, number(score.chance)),
    baselines.map((name) => h("td", { class: "num" }, number(score.baselines[name]))),
    h("td", { class: "num" }, folds), h("td", { class: "num" }, score.n), h("td", { class: "num" }, score.unread || ""));
}

function foldBlock() {
  const { folds, scores } = serdesc.summary;
  const present = scores.filter((score) => score.value !== null && (score.by_fold || []).length > 1 && ["ua", "wa", "wer", ...(serdesc.fields || [])].includes(score.metric));
  if (!present.length) return null;
  const names = [...new Set(folds.map((name) => name.split("/").pop()))];
  const rows = present.filter((score) => score.by_fold.length === names.length).map((score) => [score.unit, ...score.by_fold.map((v) => number(v))]);
  return section("Folds", null, textTable(["", ...names], rows));
}

function unreadBlock() {
  const rows = (serdesc.fields || []).map((name) => {
    const n = serdesc.rows.filter((row) => row.ref[name] !== undefined).length;
    const missing = serdesc.rows.filter((row) => statusOf(row, name) === "unread").length;
    return n ? h("tr", {}, h("th", { scope: "row" }, h("span", { class: `tag f-${name}` }, short(name)), " ", name), h("td", { class: "num" }, missing ? h("a", { href: hashOfFilter({ field: `${name}:unread` }) }, missing) : "0"), h("td", { class: "num" }, n), h("td", { class: "num" }, number((100 * missing) / n))) : null;
  });
  const { rejected } = serdesc.summary;
  return section("What could not be read", "Claims that the reference has and the caption does not state in words that are read.",
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["claim", "unread", "of", "%"].map((text, i) => h("th", { scope: "col", class: i ? "num" : "label" }, text)))), h("tbody", {}, rows))),
    rejected.length ? h("details", {}, h("summary", {}, `${rejected.length} recordings could not be used`), textTable(["recording", "reason"], rejected, 2)) : h("p", { class: "note" }, "All recordings could be used."));
}

// ---- training and run ---------------------------------------------------------------------------

function drawTraining(container) {
  const { training, folds, layers, kl } = serdesc.summary;
  const phases = [...new Set(training.flatMap((fold) => fold.map((phase) => phase.phase)))];
  const series = (phase, key) => training.flatMap((fold, i) => fold.filter((one) => one.phase === phase && one[key]).map((one) => ({ name: folds[i], x: one.step, y: one[key], colour: i, style: i })));
  const figures = phases.flatMap((phase) => [
    lineChart({ title: `${phase} phase: LLM loss`, xLabel: "step", yLabel: "nats a token", series: series(phase, "llm_loss") }),
    series(phase, "kl_loss").some((one) => one.y.some((v) => v)) && lineChart({ title: `${phase} phase: KL`, xLabel: "step", yLabel: "nats a frame and dimension", series: series(phase, "kl_loss") })]);
  const branches = [...new Set(layers.map((one) => one.branch))];
  const mean = (branch) => {
    const all = layers.filter((one) => one.branch === branch).map((one) => one.weights);
    return all[0].map((_, i) => all.reduce((sum, one) => sum + one[i], 0) / all.length);
  };
  const means = branches.map(mean);
  const weights = branches.length ? barChart({ title: "Weights of the encoder's layers, mean over folds", xLabel: "layer", yLabel: "weight", bars: branches, groups: means[0].map((_, i) => ({ name: String(i + 1), values: means.map((one) => one[i]) })) }) : null;
  const groups = [...new Set(kl.flatMap((one) => Object.keys(one.means)))].sort((a, b) => a.startsWith("in ") - b.startsWith("in ") || collator.compare(a, b));
  const perFrame = kl.length ? barChart({ title: "KL per frame, by reference emotion and in speech and pauses", xLabel: "", yLabel: "nats a dimension", bars: kl.map((one) => one.branch), groups: groups.map((name) => ({ name: name.replace("emotion:", ""), values: kl.map((one) => one.means[name] ?? null) })) }) : null;
  container.replaceChildren(h("div", { class: "page" }, h("h1", {}, "Training and branches"),
    section("Branches", branches.length ? null : "No layer weights and KL: the captions were decoded without decoding.branches.", h("div", { class: "figures" }, weights, perFrame)),
    section("Training curves", phases.length ? "Means of consecutive steps, one line a fold." : "No train.jsonl in the folds.", h("div", { class: "figures" }, figures.filter(Boolean)))));
}

function drawRun(container) {
  const { environment, commands, config, version, folds } = serdesc.summary;
  const flat = Object.entries(environment).flatMap(([key, value]) => (value && typeof value === "object" ? Object.entries(value).map(([k, v]) => [`${key}: ${k}`, String(v)]) : [[key, String(value)]]));
  container.replaceChildren(h("div", { class: "page" }, h("h1", {}, "How it was run"),
    section("Commands of the training", null, commands.map((command, i) => h("p", {}, h("b", {}, folds[i]), h("pre", {}, command || "not recorded")))),
    section("Environment", `page by serdesc ${version}`, textTable(["", ""], flat, 2)),
    section("Configuration", null, h("pre", {}, config || "not recorded"))));
}

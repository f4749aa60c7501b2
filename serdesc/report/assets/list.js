// The list of utterances: filters, header, and a body that draws the rows in view.
"use strict";

const ROW_HEIGHT = { wide: 36, narrow: 64 };
const list = { rows: [], view: null, selected: -1 };
const narrow = () => matchMedia("(max-width: 720px)").matches;

function columns() {
  const recordings = serdesc.summary.kind === "recordings";
  if (recordings) {
    return [
      ["start", "start", (row) => clock(row.start || 0), "num"],
      ["id", "recording", (row) => row.rec || row.id, "id"],
      ["hyp", "emotion", emotionOf, ""],
      ["pitch", "pitch", (row) => row.hyp.pitch || "–", ""],
      ["energy", "energy", (row) => row.hyp.energy || "–", ""],
      ["speed", "speed", (row) => row.hyp.speed || "–", ""],
      ["sec", "s", (row) => number(row.sec), "num"],
      ["", "transcript", (row) => row.hyp.transcript || "", "text"],
    ];
  }
  return [
    ["id", "utterance", (row) => row.id, "id"],
    ["ok", "", (row) => mark(row.right.emotion), "tick"],
    ["ref", "reference", (row) => row.ref.emotion || "–", ""],
    ["hyp", "caption", emotionOf, ""],
    serdesc.summary.compare && ["", "other", otherEmotion, "other"],
    ["post", "p", (row) => (row.post && row.hyp.emotion ? number(row.post[row.hyp.emotion], 2) : ""), "num"],
    ["claims", "claims", (row) => rightClaims(row).join("/"), "num"],
    ["wer", "WER", (row) => number(errorRate(row), 0), "num"],
    ["sec", "s", (row) => number(row.sec), "num"],
    ["", "transcript", (row) => row.ref.transcript || "", "text"],
  ].filter(Boolean);
}

function otherEmotion(row) {
  if (!row.other) return "";
  return h("span", {}, mark(row.other.right.emotion), " ", row.other.hyp.emotion || "unread");
}

function drawList(container) {
  list.rows = sorted(filtered());
  const body = h("div", { class: "rows", role: "rowgroup", tabindex: "0", id: "rows",
    "aria-label": "utterances: arrow keys select, space plays" });
  const spacer = h("div", { class: "spacer" });
  body.append(spacer);
  body.addEventListener("scroll", () => requestAnimationFrame(drawVisible), { passive: true });
  list.view = { body, spacer, drawn: new Map(), columns: columns() };
  const longest = Math.max(10, ...serdesc.rows.map((row) => (row.rec || row.id).length));
  const table = h("div", { class: "list", role: "table", "aria-rowcount": list.rows.length,
    vars: { "--id": `${Math.min(200, 8 + 7.6 * longest)}px` } },
    headerRow(), body);
  container.replaceChildren(filterBar(), table);
  list.selected = list.rows.findIndex((row) => keyOf(row) === state.u);
  drawVisible();
  if (list.selected >= 0) reveal(list.selected);
}

function headerRow() {
  const cell = ([key, title, , kind]) => {
    const active = state.sort === key && key;
    const order = active ? (state.dir === "down" ? "descending" : "ascending") : "none";
    const arrow = active ? (state.dir === "down" ? " ↓" : " ↑") : "";
    const next = { sort: key, dir: active && state.dir !== "down" ? "down" : "" };
    const name = title || "right";
    return h("div", { role: "columnheader", class: `c ${kind}`, "aria-sort": key ? order : null },
      key ? h("button", { type: "button", "data-sort": key, title: `sort by ${name}`, onclick: () => go(next) },
        (title || "✓") + arrow) : h("span", {}, title));
  };
  return h("div", { role: "row", class: "r head" }, list.view.columns.map(cell));
}

function drawVisible() {
  const { body, spacer, drawn } = list.view;
  if (!body.isConnected) return;
  const height = narrow() ? ROW_HEIGHT.narrow : ROW_HEIGHT.wide;
  spacer.style.height = `${list.rows.length * height}px`;
  const seen = body.clientHeight || 600;
  const first = Math.max(0, Math.floor(body.scrollTop / height) - 8);
  const last = Math.min(list.rows.length, Math.ceil((body.scrollTop + seen) / height) + 8);
  for (const [i, element] of drawn) {
    if (i < first || i >= last) {
      element.remove();
      drawn.delete(i);
    }
  }
  for (let i = first; i < last; i++) {
    if (!drawn.has(i)) {
      const element = drawRow(list.rows[i], i, height);
      drawn.set(i, element);
      spacer.append(element);
    }
  }
}

function drawRow(row, i, height) {
  const cells = list.view.columns.map(([, , value, kind]) => h("div", { role: "cell", class: `c ${kind}` }, value(row)));
  const element = h("div", { role: "row", class: `r${i === list.selected ? " selected" : ""}`,
    "aria-rowindex": i + 1, "data-id": keyOf(row), "aria-selected": String(i === list.selected),
    onclick: () => go({ u: keyOf(row) }) }, cells);
  element.style.transform = `translateY(${i * height}px)`;
  return element;
}

function reveal(i) {
  const height = narrow() ? ROW_HEIGHT.narrow : ROW_HEIGHT.wide;
  const { body } = list.view;
  if (i * height < body.scrollTop) body.scrollTop = i * height;
  else if ((i + 1) * height > body.scrollTop + body.clientHeight) body.scrollTop = (i + 1) * height - body.clientHeight;
  drawVisible();
}

// Mark a row as selected without drawing the list again.
function select(i) {
  list.selected = i;
  for (const [k, element] of list.view.drawn) {
    element.classList.toggle("selected", k === i);
    element.setAttribute("aria-selected", String(k === i));
  }
  if (i >= 0) reveal(i);
}

function step(by) {
  if (!list.rows.length) return;
  const next = Math.min(list.rows.length - 1, Math.max(0, list.selected + by));
  go({ u: keyOf(list.rows[next]) }, true);
}

// ---- filters ------------------------------------------------------------------------------------

function choice(name, title, options) {
  if (options.length < 2 && !state[name]) return null;
  const entries = [["", title], ...options.map((one) => (Array.isArray(one) ? one : [one, one]))];
  return h("select", { name, "aria-label": title, class: state[name] ? "active" : null,
    onchange: (event) => go({ [name]: event.target.value }) },
    entries.map(([value, text]) => h("option", { value, selected: (state[name] || "") === value }, text)));
}

function filterBar() {
  const rows = serdesc.rows;
  const distinct = (value) => [...new Set(rows.map(value))].filter((v) => v !== undefined).sort(collator.compare);
  const search = h("input", { type: "search", id: "search", placeholder: "Search ids, words, captions",
    "aria-label": "search", value: state.q || "" });
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => go({ q: search.value }, true), 120);
  });
  const active = FILTERS.filter((key) => state[key]);
  const recordings = serdesc.summary.kind === "recordings";
  return h("div", { class: "filters" }, search,
    !recordings && choice("ref", "reference", distinct((row) => row.ref.emotion || "none")),
    choice("hyp", recordings ? "emotion" : "caption", distinct(emotionOf)),
    !recordings && choice("field", "claims", fieldChoices()),
    !recordings && serdesc.summary.folds.length > 1 && choice("fold", "fold", serdesc.summary.folds),
    !recordings && choice("spk", "speaker", distinct((row) => row.spk)),
    serdesc.summary.compare && choice("who", "who is right", whoChoices()),
    recordings && choice("rec", "recording", distinct((row) => row.rec)),
    h("span", { class: "count", role: "status" }, `${list.rows.length} of ${rows.length}`),
    active.length ? h("a", { class: "clear", href: hashOf(Object.fromEntries(FILTERS.map((k) => [k, ""]))) }, "clear") : null);
}

function fieldChoices() {
  const names = serdesc.fields || [];
  return names.flatMap((name) => ["wrong", "right", "unread"].map((status) => [`${name}:${status}`, `${name} ${status}`]));
}

function whoChoices() {
  const { name, compare } = serdesc.summary;
  const texts = { a: `only ${name}`, b: `only ${compare}`, both: "both", neither: "neither" };
  return Object.entries(texts).map(([who, text]) => [`emotion:${who}`, `emotion: ${text}`]);
}

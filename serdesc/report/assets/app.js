// The page: views, keyboard, light and dark.
"use strict";

const VIEWS = {
  experiment: [["overview", "Overview"], ["utterances", "Utterances"], ["training", "Training"], ["run", "Run"]],
  recordings: [["timeline", "Timeline"], ["utterances", "Pieces"], ["run", "Run"]],
};
const app = { drawn: "", split: null };

function views() {
  return VIEWS[serdesc.summary.kind];
}

function currentView() {
  const names = views().map(([name]) => name);
  return names.includes(state.view) ? state.view : names[0];
}

function render() {
  const was = { ...app.state };
  readHash();
  const view = currentView();
  drawTop(view);
  document.body.dataset.view = view;
  document.body.classList.toggle("open", view === "utterances" && Boolean(state.u));
  const main = document.getElementById("main");
  if (view === "utterances") drawUtterances(main, was);
  else if (app.drawn !== view) {
    ({ overview: drawOverview, training: drawTraining, run: drawRun, timeline: drawTimeline })[view](main);
    scrollTo(0, 0);
    app.split = null;
  }
  app.drawn = view;
  app.state = { ...state };
}

function drawUtterances(main, was) {
  const changed = ["sort", "dir", ...FILTERS].some((key) => (was[key] || "") !== (state[key] || ""));
  if (!app.split || app.drawn !== "utterances") {
    app.split = { list: h("div", { class: "listpane" }), card: h("div", { class: "cardpane", id: "card" }), shown: null };
    main.replaceChildren(h("div", { class: "split" }, app.split.list, app.split.card));
    drawList(app.split.list);
  } else if (changed) redrawList();
  else select(list.rows.findIndex((row) => keyOf(row) === state.u));
  const row = state.u ? list.rows.find((one) => keyOf(one) === state.u) || serdesc.rows.find((one) => keyOf(one) === state.u) : null;
  if (app.split.shown !== row || !app.split.card.childNodes.length) {
    app.split.shown = row;
    if (!row && player.audio) player.audio.pause();
    drawCard(app.split.card, row);
  }
}

// Draw the list again; the search field keeps the cursor.
function redrawList() {
  const before = document.getElementById("search");
  const focused = document.activeElement === before;
  const at = before ? before.selectionStart : 0;
  const sortKey = document.activeElement && document.activeElement.dataset.sort;
  drawList(app.split.list);
  if (focused) {
    const search = document.getElementById("search");
    search.focus();
    search.setSelectionRange(at, at);
  } else if (sortKey) document.querySelector(`button[data-sort="${sortKey}"]`).focus();
}

function drawTop(view) {
  const { name, part, compare } = serdesc.summary;
  const title = [name, part && `${part} part`, compare && `beside ${compare}`].filter(Boolean).join(" · ");
  document.getElementById("top").replaceChildren(
    h("span", { class: "brand" }, h("b", {}, "serdesc"), h("span", { class: "what" }, title)),
    h("nav", { "aria-label": "views" }, views().map(([key, text]) => h("a", { href: hashOf({ view: key }), "aria-current": key === view ? "page" : null }, text))),
    h("button", { type: "button", id: "theme", onclick: switchTheme, title: "light or dark (t)", "aria-label": "light or dark" }, "◐"));
}

// ---- light and dark, keyboard -------------------------------------------------------------------

function switchTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("serdesc-theme", document.documentElement.dataset.theme); } catch { /* not kept */ }
}

function restoreTheme() {
  try {
    const kept = localStorage.getItem("serdesc-theme");
    if (kept) document.documentElement.dataset.theme = kept;
  } catch { /* none kept */ }
}

const SHORTCUTS = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
  PageDown: () => step(10), PageUp: () => step(-10), Home: () => step(-1e9), End: () => step(1e9),
  " ": togglePlay, ArrowLeft: () => seek(position() - 1), ArrowRight: () => seek(position() + 1),
  "/": () => document.getElementById("search").focus(), Escape: () => go({ u: "" }),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (typing) {
    if (event.key === "Escape") {
      event.target.blur();
      if (event.target.id === "search") go({ q: "" }, true);
    }
    return;
  }
  if (event.key === "t") switchTheme();
  if (currentView() !== "utterances" || !SHORTCUTS[event.key]) return;
  if (event.key === " " && /^(BUTTON|A|SUMMARY)$/.test(event.target.tagName)) return;
  event.preventDefault();
  SHORTCUTS[event.key]();
}

// Print the other views, too: they are drawn for the printer, and removed afterwards.
function beforePrint() {
  if (currentView() === "utterances") return;
  const extra = h("div", { id: "printed" });
  for (const [name] of views()) {
    if (name === "utterances" || name === currentView()) continue;
    const part = h("div", {});
    ({ overview: drawOverview, training: drawTraining, run: drawRun, timeline: drawTimeline })[name](part);
    extra.append(part);
  }
  document.getElementById("main").append(extra);
}

function onResize() {
  if (app.drawn === "timeline") drawTimeline(document.getElementById("main"));
  if (app.drawn !== "utterances") return;
  for (const element of list.view.drawn.values()) element.remove();
  list.view.drawn.clear();
  drawVisible();
  if (player.redraw && state.u) player.redraw();
}

function start() {
  restoreTheme();
  serdesc.rows = unpackRows(serdesc.summary.tables, serdesc.rows);
  const found = new Set();
  for (const row of serdesc.rows) for (const name of Object.keys(row.right || row.hyp)) found.add(name);
  found.delete("transcript");
  const order = ["emotion", "pitch", "energy", "speed", "age", "gender", "emphasis"];
  serdesc.fields = [...order.filter((name) => found.has(name)), ...[...found].filter((name) => !order.includes(name)).sort()];
  serdesc.repeated = new Set(serdesc.rows.map((row) => row.id)).size < serdesc.rows.length;
  startPlayer();
  addEventListener("hashchange", render);
  addEventListener("keydown", onKey);
  addEventListener("resize", onResize);
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", () => { const extra = document.getElementById("printed"); if (extra) extra.remove(); });
  render();
  document.body.dataset.ready = "true";
}

addEventListener("DOMContentLoaded", start);

// The card of an utterance: audio and curves, caption with its claims, transcript and posterior.
"use strict";

const SHORT = { emotion: "Em", pitch: "Pi", energy: "En", speed: "Sp", age: "Ag", gender: "Ge", emphasis: "St", transcript: "Tr" };
const short = (field) => SHORT[field] || field.slice(0, 2).replace(/^./, (c) => c.toUpperCase());
const shown = (value) => (Array.isArray(value) ? value.join(", ") : value === undefined ? "–" : String(value));

function drawCard(container, row) {
  if (!row) {
    container.replaceChildren(h("p", { class: "empty" }, "Select an utterance: click a row, or press ↓."));
    return;
  }
  const tracks = h("div", { class: "tracks" }, h("p", { class: "note" }, "Loading …"));
  const parts = [cardHead(row), playerBar(row), tracks, captions(row)];
  if (row.words) parts.push(transcript(row));
  parts.push(claims(row));
  if (row.post) parts.push(posterior(row));
  container.replaceChildren(h("article", { class: "card", "data-id": row.id }, parts));
  container.scrollTop = 0;
  loadAudio(row);
  const number = serdesc.rows.indexOf(row);
  const chunk = Math.floor(number / serdesc.summary.chunk);
  serdesc.need("curves", chunk).then((curves) => {
    if (player.row === row) drawTracks(tracks, row, unpackCurves(curves[number % serdesc.summary.chunk]));
  }, (error) => tracks.replaceChildren(h("p", { class: "note" }, error.message)));
}

function cardHead(row) {
  const facts = [row.spk && `speaker ${row.spk}`, row.ref && serdesc.summary.folds[row.fold],
    row.rec && `from ${clock(row.start || 0)}`, `${number(row.sec)} s`];
  const reference = row.ref && row.ref.emotion;
  return h("header", {},
    h("a", { class: "back", href: hashOf({ u: "" }) }, "← list"),
    h("h2", {}, row.rec || row.id),
    h("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
    h("p", { class: "verdict" }, reference ? [h("b", {}, reference), " → "] : null, h("b", {}, emotionOf(row)), " ",
      row.right && row.right.emotion !== undefined ? mark(row.right.emotion) : null));
}

// ---- captions -----------------------------------------------------------------------------------

function captions(row) {
  const { name, compare } = serdesc.summary;
  const parts = [captionOf(row.other ? name : "Caption", row.cap, row.spans, (field) => rightOf(row, field))];
  if (row.other) parts.push(captionOf(compare, row.other.cap, row.other.spans, (field) => rightOf(row.other, field)));
  if (row.refcap) parts.push(captionOf("Reference", row.refcap, row.refspans, () => undefined, true));
  return h("div", { class: "captions" }, parts);
}

function rightOf(row, field) {
  if (field === "transcript") return row.wer ? row.wer[0] === 0 : undefined;
  return row.right ? row.right[field] : undefined;
}

// A caption with the words of each claim marked.
function captionOf(title, text, spans, right, plain = false) {
  const pieces = [];
  let at = 0;
  const ordered = Object.entries(spans || {}).sort((a, b) => a[1][0] - b[1][0] || b[1][1] - a[1][1]);
  for (const [field, [start, end]] of ordered) {
    if (start < at || end <= start) continue;
    pieces.push(text.slice(at, start));
    const verdict = plain ? undefined : right(field);
    const glyph = verdict === undefined ? "" : verdict ? " ✓" : " ✗";
    pieces.push(h("span", { class: `claim f-${field}`, "data-field": field, "data-right": verdict === undefined ? null : String(Boolean(verdict)), title: `${field}${verdict === undefined ? "" : verdict ? ": right" : ": wrong"}` },
      text.slice(start, end), h("sup", { "data-mark": short(field) + glyph, "aria-hidden": "true" })));
    at = end;
  }
  pieces.push(text.slice(at));
  return h("div", { class: "caption" }, h("h3", {}, title), h("p", {}, text ? pieces : h("i", {}, "empty answer")));
}

// ---- transcript ---------------------------------------------------------------------------------

function transcript(row) {
  const stressed = new Set(((row.ref && row.ref.emphasis) || []).flatMap((w) => w.toLowerCase().split(/\s+/)));
  const word = (text) => (stressed.has(text) ? h("em", { class: "stress", title: "stressed in the reference" }, text) : text);
  const pieces = row.words.flatMap(([ref, said]) => {
    if (said === undefined) return [word(ref), " "];
    return [ref ? h("del", { title: said ? "replaced" : "left out" }, word(ref)) : "", ref && said ? " " : "",
      said ? h("ins", { title: ref ? "instead" : "added" }, said) : "", " "];
  });
  const [errors, n] = row.wer;
  return h("div", { class: "transcript" }, h("h3", {}, "Transcript"),
    h("p", { class: "words" }, pieces.length ? pieces : h("i", {}, "no words")),
    h("p", { class: "note" }, `${errors} of ${n} words wrong`,
      errors ? [": ", h("del", {}, "reference"), " ", h("ins", {}, "caption")] : null,
      stressed.size ? ["; ", h("em", { class: "stress" }, "stressed")] : null));
}

// ---- claims -------------------------------------------------------------------------------------

function claims(row) {
  const names = [...new Set([...Object.keys(row.hyp), ...Object.keys(row.ref || {})])].filter((name) => name !== "transcript");
  const order = (name) => { const i = (serdesc.fields || []).indexOf(name); return i < 0 ? 99 : i; };
  names.sort((a, b) => order(a) - order(b));
  const scored = Boolean(row.ref);
  const { name, compare } = serdesc.summary;
  const head = ["claim", row.other ? name : "caption", row.other && compare, scored && "reference", "measured sound"].filter(Boolean);
  const body = names.map((field) => h("tr", {},
    h("th", { scope: "row" }, h("span", { class: `tag f-${field}` }, short(field)), " ", field),
    h("td", {}, row.hyp[field] === undefined ? h("i", {}, "unread") : shown(row.hyp[field]), " ", scored ? mark(row.right && row.right[field]) : null),
    row.other ? h("td", {}, row.other.hyp[field] === undefined ? h("i", {}, "unread") : shown(row.other.hyp[field]), " ", mark(row.other.right[field])) : null,
    scored ? h("td", {}, shown(row.ref[field])) : null,
    h("td", {}, measuredSound(row, field))));
  return h("div", { class: "claims scroll" }, h("h3", {}, "Claims"),
    h("table", {}, h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, body)));
}

function measuredSound(row, field) {
  const found = (row.sound || {})[field] || [];
  return found.map(([text, value, how]) => h("div", { title: how },
    [text, value].filter(Boolean).join(", "), " ",
    value && row.hyp[field] !== undefined ? mark(row.hyp[field] === value) : null,
    how.startsWith("independent") ? h("small", {}, " " + how.slice(13)) : null));
}

// ---- posterior ----------------------------------------------------------------------------------

function posterior(row) {
  const entries = Object.entries(row.post).sort((a, b) => b[1] - a[1]);
  return h("div", { class: "posterior" }, h("h3", {}, "Posterior of the emotion"),
    h("table", {}, h("tbody", {}, entries.map(([emotion, p]) => h("tr", {},
      h("th", { scope: "row" }, emotion, row.ref && row.ref.emotion === emotion ? h("small", {}, " reference") : null),
      h("td", { class: "barcell" }, h("span", { class: "pbar", vars: { "--p": p } })),
      h("td", { class: "num" }, number(p, 3)))))));
}

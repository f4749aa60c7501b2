// The state of the page: filters, order, view and open utterance. It is the URL's hash.
"use strict";

const KEYS = ["view", "q", "ref", "hyp", "fold", "spk", "field", "who", "rec", "sort", "dir", "u"];
const FILTERS = ["q", "ref", "hyp", "fold", "spk", "field", "who", "rec"];
let state = {};

function readHash() {
  const found = new URLSearchParams(location.hash.slice(1));
  state = {};
  for (const key of KEYS) if (found.get(key)) state[key] = found.get(key);
}

function hashOf(changes) {
  const next = { ...state, ...changes };
  const found = new URLSearchParams();
  for (const key of KEYS) if (next[key]) found.set(key, next[key]);
  return "#" + found.toString();
}

// Only these filters, in the list of utterances.
function hashOfFilter(filters) {
  const none = Object.fromEntries([...FILTERS, "u"].map((key) => [key, ""]));
  return hashOf({ ...none, view: "utterances", ...filters });
}

function go(changes, replace = false) {
  const hash = hashOf(changes);
  if (replace) {
    history.replaceState(null, "", hash);
    render();
  } else location.hash = hash;
}

// ---- what a row is ------------------------------------------------------------------------------

const emotionOf = (row) => row.hyp.emotion || "unread";
const keyOf = (row) => (serdesc.summary.folds || []).length && serdesc.repeated
  ? `${row.fold}:${row.id}` : row.id;

function statusOf(row, field) {
  if (row.hyp[field] === undefined) return row.ref && row.ref[field] !== undefined ? "unread" : "absent";
  const right = row.right ? row.right[field] : undefined;
  return right === undefined ? "unscored" : right ? "right" : "wrong";
}

function whoOf(row, field) {
  if (!row.other) return "none";
  const a = row.right[field], b = row.other.right[field];
  if (a === undefined || b === undefined) return "none";
  return a ? (b ? "both" : "a") : b ? "b" : "neither";
}

function textOf(row) {
  if (!row.text) {
    const said = (row.ref && row.ref.transcript) || "";
    row.text = [row.id, row.spk, said, row.cap, row.refcap || "", row.rec || ""].join("\n").toLowerCase();
  }
  return row.text;
}

function errorRate(row) {
  return row.wer && row.wer[1] ? (100 * row.wer[0]) / row.wer[1] : null;
}

function rightClaims(row) {
  const values = Object.values(row.right || {});
  return [values.reduce((a, b) => a + b, 0), values.length];
}

const ORDERS = {
  id: (row) => row.id,
  ref: (row) => (row.ref && row.ref.emotion) || "",
  hyp: emotionOf,
  ok: (row) => (row.right && row.right.emotion !== undefined ? row.right.emotion : -1),
  post: (row) => (row.post ? row.post[row.hyp.emotion] || 0 : -1),
  claims: (row) => { const [right, n] = rightClaims(row); return n ? right / n : -1; },
  wer: (row) => { const rate = errorRate(row); return rate === null ? -1 : rate; },
  sec: (row) => row.sec,
  start: (row) => row.start || 0,
  pitch: (row) => ["low", "normal", "high"].indexOf(row.hyp.pitch),
  energy: (row) => ["low", "normal", "high"].indexOf(row.hyp.energy),
  speed: (row) => ["slow", "normal", "fast"].indexOf(row.hyp.speed),
};

// ---- filtered and sorted rows -------------------------------------------------------------------

function filtered() {
  const words = (state.q || "").toLowerCase().split(/\s+/).filter(Boolean);
  const [field, status] = (state.field || "").split(":");
  const [whoField, who] = (state.who || "").split(":");
  return serdesc.rows.filter((row) =>
    (!state.ref || ((row.ref && row.ref.emotion) || "none") === state.ref) &&
    (!state.hyp || emotionOf(row) === state.hyp) &&
    (!state.fold || serdesc.summary.folds[row.fold] === state.fold) &&
    (!state.spk || row.spk === state.spk) &&
    (!state.rec || row.rec === state.rec) &&
    (!state.field || statusOf(row, field) === status) &&
    (!state.who || whoOf(row, whoField) === who) &&
    words.every((word) => textOf(row).includes(word)));
}

const collator = new Intl.Collator("en", { numeric: true });

function sorted(rows) {
  const key = ORDERS[state.sort];
  if (!key) return rows;
  const sign = state.dir === "down" ? -1 : 1;
  const keyed = rows.map((row, i) => [key(row), i, row]);
  keyed.sort((a, b) => {
    const order = typeof a[0] === "string" ? collator.compare(a[0], b[0]) : a[0] - b[0];
    return sign * order || a[1] - b[1];
  });
  return keyed.map((entry) => entry[2]);
}

// Rows and curves from their packed form (serdesc/report/packing.py).
"use strict";

function unpackRows(tables, packed) {
  return packed.map((entries) => {
    const one = {};
    tables.columns.forEach((name, i) => { if (entries[i] !== undefined && entries[i] !== 0) one[name] = entries[i]; });
    return unpackRow(tables, one);
  });
}

function unpackRow(tables, one) {
  const row = { ...one, ...unpackAnswer(tables, one) };
  row.id = String(one.id);
  row.fold = one.fold || 0;
  row.sec = one.sec || 0;
  row.start = one.start || 0;
  row.spk = tables.speakers[one.spk || 0];
  row.audio = typeof one.audio === "string" ? tables.audio + one.audio : "";
  if (one.ref) {
    row.refcap = one.refcap || "";
    row.refspans = unpackSpans(tables, one.refspans);
    row.ref = unpackStated(tables, one.ref, row.refcap, row.refspans);
    row.right = row.right || {};
  }
  if (one.words) {
    row.words = one.words.flatMap((entry) => (typeof entry === "string" ? entry.split(" ").map((word) => [word]) : [entry]));
    row.wer = [row.words.filter((pair) => pair.length > 1).length, row.words.filter((pair) => pair[0]).length];
  }
  row.sound = {};
  for (let i = 0; i < (one.sound || []).length; i += 4) {
    const [field, text, value, how] = one.sound.slice(i, i + 4);
    const name = typeof field === "number" ? tables.fields[field] : field;
    (row.sound[name] = row.sound[name] || []).push([text, typeof value === "number" ? tables.values[name][value] : value, tables.methods[how]]);
  }
  if (one.other) {
    const [cap, spans, hyp, post, right, wer] = one.other;
    row.other = { right: {}, wer, ...unpackAnswer(tables, { cap, spans, hyp, post, right }) };
  }
  return row;
}

function unpackAnswer(tables, one) {
  const cap = one.cap || "";
  const spans = unpackSpans(tables, one.spans);
  const answer = { cap, spans, hyp: unpackStated(tables, one.hyp || [], cap, spans) };
  if (one.post) answer.post = Object.fromEntries(tables.emotions.map((name, i) => [name, one.post[i]]));
  if (one.right) {
    answer.right = {};
    tables.fields.forEach((name, i) => { if (one.right[i] !== "-") answer.right[name] = Number(one.right[i]); });
  }
  return answer;
}

function unpackSpans(tables, packed) {
  const spans = {};
  for (let i = 0; i < (packed || []).length; i += 3) spans[tables.fields[packed[i]]] = [packed[i + 1], packed[i + 1] + packed[i + 2]];
  return spans;
}

function unpackStated(tables, packed, caption, spans) {
  const values = {};
  tables.fields.forEach((name, i) => {
    const value = packed[i];
    if (value === -1 || value === undefined) return;
    if (tables.values[name]) values[name] = tables.values[name][value];
    else values[name] = value === 1 ? caption.slice(...spans[name]) : value;
  });
  return values;
}

// Curves of an utterance: f0, level, rate and peaks as bytes, kl by branch, words with their times.
function unpackCurves(packed) {
  const names = ["f0", "level", "rate", "peaks", ...Object.keys((serdesc.summary.scales || {}).kl || {})];
  if (!packed) return { kl: {} };
  const all = bytes(packed[names.length]);
  const curves = { kl: {}, words: packed[names.length + 1] || [] };
  let at = 0;
  names.forEach((name, i) => {
    (i < 4 ? curves : curves.kl)[name] = all.subarray(at, at + packed[i]);
    at += packed[i];
  });
  return curves;
}

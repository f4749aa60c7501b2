// Elements, data and small helpers. Values reach the page as text nodes or attributes only.
"use strict";

const serdesc = { summary: null, rows: [], curves: new Map(), audio: new Map(), waiting: new Map() };

// Called by the scripts in data/, which stand for requests that a page from a file cannot make.
serdesc.receive = function (kind, number, value) {
  if (kind === "summary") serdesc.summary = value;
  else if (kind === "rows") serdesc.rows = value;
  else {
    serdesc[kind].set(number, value);
    const waiting = serdesc.waiting.get(kind + number) || [];
    serdesc.waiting.delete(kind + number);
    for (const resolve of waiting) resolve(value);
  }
};

// Load data/<kind>-<number>.js, once.
serdesc.need = function (kind, number) {
  const known = serdesc[kind].get(number);
  if (known !== undefined) return Promise.resolve(known);
  return new Promise((resolve, reject) => {
    const key = kind + number;
    const waiting = serdesc.waiting.get(key);
    if (waiting) {
      waiting.push(resolve);
      return;
    }
    serdesc.waiting.set(key, [resolve]);
    const script = document.createElement("script");
    script.src = `data/${kind}-${number}.js`;
    script.onerror = () => {
      serdesc.waiting.delete(key);
      reject(new Error(`data/${kind}-${number}.js is missing`));
    };
    document.head.append(script);
  });
};

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child.nodeType ? child : visible(String(child)));
  }
  return element;
}

// An HTML element; children are elements or texts.
function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// An SVG element.
function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// A text with its control characters shown, such as \x1b of terminal escapes.
function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0"));
}

function bytes(base64) {
  const text = atob(base64 || "");
  const array = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
  return array;
}

function number(value, decimals = 1) {
  return value === null || value === undefined ? "" : value.toFixed(decimals).replace("-", "\u2212");
}

function clock(seconds) {
  const whole = Math.max(0, seconds);
  const minutes = Math.floor(whole / 60);
  const rest = (whole - 60 * minutes).toFixed(minutes >= 10 ? 0 : 1);
  return `${minutes}:${rest.padStart(minutes >= 10 ? 2 : 4, "0")}`;
}

// A mark for right, wrong or unknown, readable without colour.
function mark(right) {
  if (right === undefined || right === null) return h("span", { class: "mark none", title: "not known" }, "·");
  const name = right ? "right" : "wrong";
  return h("span", { class: `mark ${name}`, title: name, role: "img", "aria-label": name }, right ? "✓" : "✗");
}

function section(title, note, ...children) {
  return h("section", { class: "block" }, h("h2", {}, title), note && h("p", { class: "note" }, note), ...children);
}

// A table of texts: the first `labels` columns are left-aligned.
function textTable(head, rows, labels = 1) {
  const cell = (tag) => (text, i) => h(tag, { class: i < labels ? "label" : "num", scope: tag === "th" ? "col" : null }, text);
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, head.map(cell("th")))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell("td")))))));
}

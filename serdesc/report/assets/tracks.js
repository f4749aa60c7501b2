// The player and the curves of an utterance: wave, F0, level, speech rate, and KL of the branches.
"use strict";

const LEFT = 116; // pixels of names and ticks
let WIDTH = 640; // pixels, of the card
const player = { audio: null, row: null, offset: 0, lines: [], button: null, time: null };

function startPlayer() {
  player.audio = h("audio", { preload: "none", id: "player" });
  document.body.append(player.audio);
  const events = { timeupdate: moveLine, play: showState, pause: showState, ended: showState, error: showError };
  for (const [name, act] of Object.entries(events)) player.audio.addEventListener(name, act);
}

// Take over a row; its audio is loaded when it is played.
async function loadAudio(row) {
  player.audio.pause();
  player.row = row;
  player.offset = 0;
  player.audio.removeAttribute("src");
  let source = row.audio || "";
  if (source.startsWith("embedded:")) source = await serdesc.need("audio", Number(source.slice(9)));
  if (player.row !== row || !source) return;
  const part = /#t=([\d.]+)/.exec(source);
  player.offset = part ? Number(part[1]) : 0;
  player.audio.src = source;
}

function togglePlay() {
  if (!player.row || !player.audio.src) return;
  if (player.audio.paused) {
    if (position() >= player.row.sec - 0.02) seek(0);
    player.audio.play().catch(showError);
  } else player.audio.pause();
}

const position = () => Math.max(0, player.audio.currentTime - player.offset);

function seek(seconds) {
  if (!player.audio.src) return;
  player.audio.currentTime = player.offset + Math.min(player.row.sec, Math.max(0, seconds));
  moveLine();
}

function moveLine() {
  if (!player.row) return;
  const at = Math.min(player.row.sec, position());
  if (player.offset && at >= player.row.sec && !player.audio.paused) player.audio.pause();
  const x = LEFT + (at / player.row.sec) * (WIDTH - LEFT);
  for (const line of player.lines) line.setAttribute("transform", `translate(${x.toFixed(1)} 0)`);
  if (player.time) player.time.textContent = `${clock(at)} / ${clock(player.row.sec)}`;
  if (!player.audio.paused) requestAnimationFrame(moveLine);
}

function showState() {
  if (!player.button) return;
  const playing = !player.audio.paused;
  player.button.textContent = playing ? "❚❚" : "▶";
  player.button.setAttribute("aria-label", playing ? "pause" : "play");
  if (playing) requestAnimationFrame(moveLine);
}

function showError() {
  if (player.time && player.audio.error) player.time.textContent = "the audio file is missing, or of a form that this browser does not play";
}

function playerBar(row) {
  player.button = h("button", { type: "button", class: "play", "aria-label": "play", disabled: !row.audio, onclick: togglePlay }, "▶");
  player.time = h("span", { class: "time" }, row.audio ? `0:00.0 / ${clock(row.sec)}` : "no audio");
  return h("div", { class: "player" }, player.button, player.time,
    h("span", { class: "keys" }, "space plays · ← → 1 s · ↑ ↓ next"));
}

// ---- tracks -------------------------------------------------------------------------------------

function drawTracks(container, row, curves) {
  player.lines = [];
  player.redraw = () => drawTracks(container, row, curves);
  WIDTH = Math.max(280, container.clientWidth);
  const scales = serdesc.summary.scales || {};
  const tracks = [];
  const { f0 = [], level = [], rate = [], peaks = [] } = curves;
  if (peaks.length) tracks.push(waveTrack(row, peaks, curves.words));
  if (f0.length) {
    const [low, high] = scales.f0;
    const hertz = Array.from(f0, (c) => (c ? low * (high / low) ** ((c - 1) / 254) : null));
    const voiced = hertz.filter((v) => v !== null);
    const bottom = voiced.length ? Math.max(low, Math.min(...voiced) * 0.85) : low;
    const top = voiced.length ? Math.min(high, Math.max(...voiced) * 1.15) : high;
    tracks.push(curveTrack(row, "F0", "Hz", hertz, bottom, top, "f0"));
  }
  if (level.length) tracks.push(curveTrack(row, "level", "dB", Array.from(level, (c) => scales.level[0] * (1 - c / 255)), -70, 0, "level"));
  if (rate.length) tracks.push(curveTrack(row, "rate", "syll/s", Array.from(rate, (c) => (c * scales.syllables) / 255), 0, scales.syllables, "rate"));
  for (const [branch, codes] of Object.entries(curves.kl)) {
    const top = scales.kl[branch];
    if (codes.length) tracks.push(curveTrack(row, `KL ${branch}`, "nats", Array.from(codes, (c) => (c * top) / 255), 0, top, `kl-${branch}`, true));
  }
  if (!tracks.length) tracks.push(h("p", { class: "note" }, "No curves: the audio could not be read."));
  container.replaceChildren(...tracks, tracks.length > 1 ? timeAxis(row) : "");
}

function frame(row, name, unit, height, marks, ...content) {
  const head = unit ? [svg("tspan", {}, name), svg("tspan", { class: "unit", x: 0, dy: 11 }, unit)] : name;
  const line = svg("path", { class: "playhead", d: `M0 0V${height}`, transform: `translate(${LEFT} 0)` });
  player.lines.push(line);
  const element = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "track", role: "img", "aria-label": `${name}${unit ? `, ${unit}` : ""}` },
    svg("text", { class: "trackname", x: 0, y: 11 }, head),
    marks.map(([y, text]) => svg("text", { class: "tick", x: LEFT - 4, y, "text-anchor": "end" }, text)),
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: height - 1, y2: height - 1 }), content, line);
  element.addEventListener("pointerdown", (event) => {
    const box = element.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    seek(((x - LEFT) / (WIDTH - LEFT)) * row.sec);
  });
  return element;
}

function waveTrack(row, peaks, words) {
  const height = 64;
  const rate = serdesc.summary.scales.peakRate;
  const x = (seconds) => LEFT + (seconds / row.sec) * (WIDTH - LEFT);
  const top = [], bottom = [];
  const loudest = Math.max(8, ...peaks);
  const middle = height / 2 + (words.length ? 5 : 0); // words stand above the wave
  peaks.forEach((c, i) => {
    const at = x((i + 0.5) / rate).toFixed(1), half = Math.max(0.4, (c / loudest) * (height / 2 - 9));
    top.push(`${at} ${(middle - half).toFixed(1)}`);
    bottom.unshift(`${at} ${(middle + half).toFixed(1)}`);
  });
  const split = (list) => new Set((list || []).flatMap((text) => text.toLowerCase().split(/\s+/)));
  const meant = split(row.ref && row.ref.emphasis), claimed = split(row.hyp.emphasis);
  const boxes = words.map(([start, length, word]) => {
    const right = meant.has(word.toLowerCase()), said = claimed.has(word.toLowerCase());
    const sign = !meant.size || (right && said) ? "" : right ? " (reference)" : " (caption ✗)";
    return [svg("rect", { class: `stressed${right || !meant.size ? "" : " wrong"}`, x: x(start), width: Math.max(2, x(start + length) - x(start)), y: 0, height }),
      svg("text", { class: "word", x: x(start) + 2, y: 9 }, word + sign)];
  });
  return frame(row, "wave", "", height, [], boxes, svg("path", { class: "wave", d: `M${top.join("L")}L${bottom.join("L")}Z` }));
}

function curveTrack(row, name, unit, values, low, high, kind, area = false) {
  const height = 46;
  const rate = serdesc.summary.scales.rate;
  const py = (v) => 4 + (1 - (Math.min(high, Math.max(low, v)) - low) / (high - low || 1)) * (height - 9);
  const px = (i) => Math.min(WIDTH, LEFT + ((i + 0.5) / rate / row.sec) * (WIDTH - LEFT));
  let d = "";
  values.forEach((v, i) => {
    if (v === null) return;
    const joined = i && values[i - 1] !== null;
    d += `${joined ? "L" : "M"}${px(i).toFixed(1)} ${py(v).toFixed(1)}`;
    if (!joined && (i + 1 === values.length || values[i + 1] === null)) d += "h1.5";
  });
  const shape = area && values.length ? svg("path", { class: `area ${kind}`, d: `${d}V${height - 1}H${px(0)}Z` }) : null;
  const text = (v) => (Math.abs(v) >= 10 ? v.toFixed(0) : String(Number(v.toPrecision(2))));
  return frame(row, name, unit, height, [[11, text(high)], [height - 4, text(low)]], shape, svg("path", { class: `curve ${kind}`, d }));
}

function timeAxis(row) {
  const x = (seconds) => LEFT + (seconds / row.sec) * (WIDTH - LEFT);
  return svg("svg", { viewBox: `0 0 ${WIDTH} 16`, class: "track axisrow", "aria-hidden": "true" },
    ticks(0, row.sec, 6).map((v) => svg("text", { class: "tick", x: Math.min(WIDTH - 12, x(v)), y: 11, "text-anchor": v ? "middle" : "start" }, `${v} s`)));
}

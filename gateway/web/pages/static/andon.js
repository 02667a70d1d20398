// The live part of the operator's pages: one stream, parts that are fetched again, three drawings, two forms.
"use strict";

const page = document.body;
const say = page.dataset;
const asset = say.asset || "";
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const LATE_MS = 2000;
const OLD_S = 10;

// --- the stream -----------------------------------------------------------------------------------
let source = null;
let heard = performance.now();

function connect() {
  if (source || !one("#live")) return;
  source = new EventSource("/ui/stream" + (asset ? "?asset_name=" + encodeURIComponent(asset) : ""));
  const on = (name, act) => source.addEventListener(name, act);
  on("open", refresh);
  on("line", (event) => { heard = performance.now(); showLine(JSON.parse(event.data)); });
  on("frame", (event) => { showFrame(JSON.parse(event.data)); });
  on("changed", refresh);
  on("bye", () => again(2000));
  source.onerror = () => { if (source && source.readyState === EventSource.CLOSED) again(5000); };
}

function again(wait) {
  close();
  setTimeout(connect, wait);
}

function close() {
  if (source) source.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : connect()));

setInterval(() => {
  const badge = one("#live");
  if (!badge) return;
  const late = performance.now() - heard;
  page.classList.toggle("stale", late > LATE_MS);
  if (late > LATE_MS) badge.textContent = `${say.stale} ${Math.round(late / 1000)} s`;
  else if (source && source.readyState === EventSource.OPEN) badge.textContent = say.live;
}, 500);

// --- parts of the page, rendered by the server ----------------------------------------------------
let asked = 0;

function refresh() {
  if (asked) return;
  asked = setTimeout(() => { asked = 0; all("[data-part]").forEach(fetchPart); }, 200);
}

async function fetchPart(section) {
  if (section.contains(document.activeElement) && one("form", section)) return;
  const [name, query] = section.dataset.part.split("?");
  const extra = name === "nav" ? "of=" + encodeURIComponent(location.pathname) : query || "";
  try {
    const answer = await fetch(`/ui/part/${name}?${extra}`);
    if (answer.ok) section.innerHTML = await answer.text();
  } catch { /* the badge says that nothing comes */ }
}

all("[data-every]").forEach((section) => {
  setInterval(() => { if (source) fetchPart(section); }, 1000 * Number(section.dataset.every));
});

function number(value) {
  if (typeof value !== "number") return value === null ? "–" : String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function showLine(line) {
  for (const it of line.assets) {
    for (const tag of it.tags) {
      const key = CSS.escape(`${it.asset}/${tag.tag}`);
      all(`[data-value="${key}"]`).forEach((place) => { place.textContent = number(tag.value); });
      all(`[data-mark="${key}"]`).forEach((mark) => {
        const low = Number(mark.dataset.low), high = Number(mark.dataset.high);
        const at = Math.min(1, Math.max(0, (tag.value - low) / (high - low))) * 100;
        mark.setAttribute("transform", `translate(${at.toFixed(1)} 0)`);
      });
    }
    const old = it.age_s !== null && it.age_s > OLD_S;
    const tile = one(`[data-tile="${CSS.escape(it.asset)}"]`);
    if (!tile) continue;
    tile.classList.toggle("old", old);
    const word = one(".word", tile);
    if (old) word.textContent = `▲ ${say.stale} ${Math.round(it.age_s)} s`;
    else if (!old && word.textContent.startsWith("▲")) refresh();
  }
}

// --- drawings -------------------------------------------------------------------------------------
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let drawn = null;

function showFrame(frame) {
  if (frame.asset !== asset) return;
  drawn = frame;
  if (frame.wave) drawWave(frame.wave);
  if (frame.spectrum) drawSpectrum(frame.spectrum);
  if (frame.thermal) drawThermal(frame.thermal);
}

addEventListener("resize", () => { if (drawn) showFrame(drawn); });

function plot(canvas, xLow, xHigh, yLow, yHigh) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const left = 52, right = 16, top = 14, bottom = 22;
  const x = (value) => left + ((value - xLow) / (xHigh - xLow)) * (width - left - right);
  const y = (value) => top + (1 - (value - yLow) / (yHigh - yLow)) * (height - top - bottom);
  pen.font = "11px system-ui, sans-serif";
  pen.strokeStyle = colour("--line");
  pen.fillStyle = colour("--mute");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  for (const value of ticks(yLow, yHigh, 5)) {
    pen.beginPath(); pen.moveTo(left, y(value)); pen.lineTo(width - right, y(value)); pen.stroke();
    pen.fillText(String(value), left - 6, y(value) + 4);
  }
  pen.textAlign = "center";
  for (const value of ticks(xLow, xHigh, width < 500 ? 5 : 10)) {
    pen.beginPath(); pen.moveTo(x(value), top); pen.lineTo(x(value), height - bottom); pen.stroke();
    pen.fillText(String(value), x(value), height - 6);
  }
  return { pen, x, y, top, bottom: height - bottom };
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => power * factor >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-6; at += 1) found.push(Number((at * step).toPrecision(6)));
  return found;
}

function trace(area, xs, ys) {
  area.pen.strokeStyle = colour("--trace");
  area.pen.lineWidth = 1.2;
  area.pen.beginPath();
  for (let at = 0; at < ys.length; at += 1) area.pen.lineTo(area.x(xs(at)), area.y(ys[at]));
  area.pen.stroke();
}

function drawWave(wave) {
  const values = Float32Array.from(new Int16Array(bytes(wave.samples).buffer), (value) => value * wave.scale);
  const top = Math.max(1e-6, ...values.map(Math.abs)) * 1.1;
  const area = plot(one("#wave"), 0, (values.length / wave.rate_hz) * 1000, -top, top);
  trace(area, (at) => (at / wave.rate_hz) * 1000, values);
  one("#rms").textContent = number(wave.rms);
  one("#rms-unit").textContent = wave.unit;
  one("#wave-note").textContent = `${wave.unit} · ms · ${number(wave.rate_hz / 1000)} kHz`;
}

function drawSpectrum(spectrum) {
  const levels = Float32Array.from(bytes(spectrum.levels), (value) => spectrum.low_db * (1 - value / 255));
  const area = plot(one("#spectrum"), 0, levels.length * spectrum.step_hz, spectrum.low_db, 3);
  area.pen.setLineDash([4, 3]);
  spectrum.marks.forEach((mark, row) => {
    area.pen.strokeStyle = colour("--mute");
    area.pen.beginPath(); area.pen.moveTo(area.x(mark.hz), area.top); area.pen.lineTo(area.x(mark.hz), area.bottom); area.pen.stroke();
    area.pen.fillStyle = colour("--fg");
    area.pen.textAlign = "left";
    area.pen.fillText(mark.name, area.x(mark.hz) + 3, area.top + 9 + 12 * (row % 3));
  });
  area.pen.setLineDash([]);
  trace(area, (at) => at * spectrum.step_hz, levels);
}

// Iron: black, violet, red, orange, yellow, white.
const IRON = [[0, 0, 0], [42, 0, 110], [140, 10, 120], [214, 58, 40], [246, 142, 20], [252, 218, 90], [255, 255, 246]];
const iron = new Uint32Array(256);
const lut = new Uint8ClampedArray(iron.buffer);
for (let at = 0; at < 256; at += 1) {
  const place = (at / 255) * (IRON.length - 1), low = Math.min(IRON.length - 2, Math.floor(place)), part = place - low;
  for (let channel = 0; channel < 3; channel += 1) lut[at * 4 + channel] = IRON[low][channel] * (1 - part) + IRON[low + 1][channel] * part;
  lut[at * 4 + 3] = 255;
}

function drawThermal(picture) {
  const image = new ImageData(picture.width, picture.height);
  const out = new Uint32Array(image.data.buffer);
  const values = bytes(picture.pixels);
  for (let at = 0; at < values.length; at += 1) out[at] = iron[values[at]];
  const small = new OffscreenCanvas(picture.width, picture.height);
  small.getContext("2d").putImageData(image, 0, 0);
  const canvas = one("#thermal");
  const scale = Math.max(1, Math.round(640 / picture.width));
  canvas.width = picture.width * scale;
  canvas.height = picture.height * scale;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  const [x, y, degrees] = picture.hot;
  for (const [style, width] of [["#000", 4], ["#fff", 2]]) {
    pen.strokeStyle = style; pen.lineWidth = width;
    pen.beginPath(); pen.arc((x + 0.5) * scale, (y + 0.5) * scale, 12, 0, 7); pen.stroke();
  }
  one("#hottest").textContent = degrees.toFixed(1);
  one("#thermal-note").textContent = `${say.hot} ${degrees.toFixed(1)} °C @ ${x},${y}`;
  drawRamp();
}

function drawRamp() {
  const ramp = one("#ramp");
  ramp.width = 256;
  ramp.height = 1;
  const image = new ImageData(256, 1);
  new Uint32Array(image.data.buffer).set(iron);
  ramp.getContext("2d").putImageData(image, 0, 0);
}

// --- a report -------------------------------------------------------------------------------------
const KEPT = "andon.report";
const box = one("#report");
const slotWords = box ? JSON.parse(box.dataset.slots) : {};

function fresh() {
  return "U-" + [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

if (box) {
  const kept = JSON.parse(localStorage.getItem(KEPT) || "null");
  let id = kept ? kept.id : fresh();
  if (kept) { box.text.value = kept.text; if (!box.dataset.chosen) box.asset.value = kept.asset; }
  box.addEventListener("input", () => {
    id = fresh(); // other words are another report
    localStorage.setItem(KEPT, JSON.stringify({ id, text: box.text.value, asset: box.asset.value }));
  });
  box.addEventListener("submit", async (event) => {
    event.preventDefault();
    const told = one(".told", box), button = one("button", box);
    const form = new FormData(box);
    form.set("id", id);
    if (!box.photo.files.length) form.delete("photo");
    button.disabled = true;
    try {
      const answer = await fetch("/api/v1/reports", { method: "POST", body: form });
      const said = await answer.json();
      if (answer.ok) {
        localStorage.removeItem(KEPT);
        box.text.value = "";
        box.photo.value = "";
        id = fresh();
        told.replaceChildren(element("p", `${say.taken} · ${said.id} · ${say.reading}`));
        follow(said.href, told);
      } else {
        const faults = (said.errors || []).map((fault) => `${fault.field}: ${fault.message}`);
        told.replaceChildren(element("p", [`▲ ${said.title}`, said.detail, ...faults].filter(Boolean).join(" · "), "off"));
      }
    } catch {
      told.replaceChildren(element("p", `▲ ${say.lost}`, "off"));
    } finally {
      button.disabled = false;
    }
  });
}

async function follow(href, told) {
  for (let tries = 0; tries < 40; tries += 1) {
    await new Promise((done) => { setTimeout(done, 500); });
    const answer = await fetch(href).catch(() => null);
    if (!answer || !answer.ok) continue;
    const seen = await answer.json();
    if (seen.extraction) { showReading(seen, told); return; }
  }
  told.append(element("p", say.unread));
}

function showReading(seen, told) {
  const text = [...seen.report.text], said = element("p", undefined, "said"); // offsets count characters, not UTF-16 units
  let place = 0;
  for (const slot of [...seen.extraction.slots].sort((a, b) => a.start - b.start)) {
    if (slot.start < place) continue;
    said.append(text.slice(place, slot.start).join(""));
    const span = element("span", text.slice(slot.start, slot.end).join(""), "slot");
    span.append(element("sub", slotWords[slot.slot] || slot.slot));
    said.append(span);
    place = slot.end;
  }
  said.append(text.slice(place).join(""));
  const result = element("p");
  if (seen.order_key) {
    const link = element("a", `${say.order} ${seen.order_key}`);
    link.href = `/ui/orders/${encodeURIComponent(seen.order_key)}`;
    result.append(link);
  } else result.textContent = seen.extraction.route === "review" ? say.waits : say.none;
  told.replaceChildren(said, result);
}

// --- a ruling on a report in review ---------------------------------------------------------------
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-review]");
  if (!form) return;
  event.preventDefault();
  const said = new FormData(form, event.submitter);
  const codes = (name) => String(said.get(name) || "").split(/[\s,，、]+/).filter(Boolean);
  const body = said.get("decision") === "dismiss"
    ? { decision: "dismiss" }
    : { decision: "correct", asset: said.get("asset") || null, failure_modes: codes("failure_modes"), defects: codes("defects"), priority: Number(said.get("priority")) };
  const place = one("output", form);
  try {
    const answer = await fetch(`/api/v1/review/${encodeURIComponent(form.dataset.review)}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (answer.ok) { document.activeElement.blur(); refresh(); }
    else place.textContent = `▲ ${told.title} ${told.detail || ""} ${(told.errors || []).map((fault) => `${fault.field}: ${fault.message}`).join(" · ")}`;
  } catch {
    place.textContent = `▲ ${say.lost}`;
  }
});

// --- an order sent again, or taken back -----------------------------------------------------------
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-change]");
  if (!form) return;
  event.preventDefault();
  const said = new FormData(form, event.submitter), act = String(said.get("do"));
  const place = one("output", form);
  const headers = { "Idempotency-Key": fresh() };
  const body = act === "cancel" ? JSON.stringify({ reason: String(said.get("reason")) }) : undefined;
  if (body) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(`/api/v1/orders/${encodeURIComponent(form.dataset.change)}/${act}`, { method: "POST", headers, body });
    if (answer.ok) { location.reload(); return; }
    const told = await answer.json();
    place.textContent = `▲ ${told.title} ${told.detail || ""} ${(told.errors || []).map((fault) => `${fault.field}: ${fault.message}`).join(" · ")}`;
  } catch {
    place.textContent = `▲ ${say.lost}`;
  }
});

// Without a choice the theme is the system's: offer the other one.
const theme = one("button[name=theme]");
if (theme && document.documentElement.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches) {
  theme.value = "light";
  theme.textContent = say.light;
}

if (!document.hidden) connect();

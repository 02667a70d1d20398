// The three drawings of an asset: waveform, spectrum, thermal picture.
import { asset, number, one, say } from "./page.js";

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let drawn = null;

export function showFrame(frame) {
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

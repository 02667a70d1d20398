// The live part of the operator's pages: one stream, and what is done with what it brings.
import { showFrame } from "./drawings.js";
import "./forms.js";
import { all, asset, one, page, say } from "./page.js";
import { fetchPart, refresh, showLine } from "./parts.js";
import "./report.js";

const LATE_MS = 2000;
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

all("[data-every]").forEach((section) => {
  setInterval(() => { if (source) fetchPart(section); }, 1000 * Number(section.dataset.every));
});

// Without a choice the theme is the system's: offer the other one.
const theme = one("button[name=theme]");
if (theme && document.documentElement.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches) {
  theme.value = "light";
  theme.textContent = say.light;
}

if (!document.hidden) connect();

// Parts of the page that the server renders: fetched again when something changed, their numbers as they come.
import { all, number, one, say } from "./page.js";

const OLD_S = 10;
let asked = 0;

export function refresh() {
  if (asked) return;
  asked = setTimeout(() => { asked = 0; all("[data-part]").forEach(fetchPart); }, 200);
}

export async function fetchPart(section) {
  if (section.contains(document.activeElement) && one("form", section)) return;
  const [name, query] = section.dataset.part.split("?");
  const extra = name === "nav" ? "of=" + encodeURIComponent(location.pathname) : query || "";
  try {
    const answer = await fetch(`/ui/part/${name}?${extra}`);
    if (answer.ok) section.innerHTML = await answer.text();
  } catch { /* the badge says that nothing comes */ }
}

export function showLine(line) {
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

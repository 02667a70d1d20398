// A report: kept in the browser until the gateway has it, then shown as it was read.
import { element, fresh, one, problem, say } from "./page.js";

const KEPT = "andon.report";
const box = one("#report");
const slotWords = box ? JSON.parse(box.dataset.slots) : {};

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
        told.replaceChildren(element("p", problem(said), "off"));
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

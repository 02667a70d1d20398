// Forms about what is there: a ruling on a report in review, an order sent again or taken back.
import { fresh, one, problem, say } from "./page.js";
import { refresh } from "./parts.js";

const JSON_TYPE = { "Content-Type": "application/json" };

async function send(address, form, init, done) {
  const place = one("output", form);
  try {
    const answer = await fetch(address, { method: "POST", ...init });
    if (answer.ok) done();
    else place.textContent = problem(await answer.json());
  } catch {
    place.textContent = `▲ ${say.lost}`;
  }
}

function rule(form, said) {
  const codes = (name) => String(said.get(name) || "").split(/[\s,，、]+/).filter(Boolean);
  const body = said.get("decision") === "dismiss"
    ? { decision: "dismiss" }
    : { decision: "correct", asset: said.get("asset") || null, failure_modes: codes("failure_modes"), defects: codes("defects"), priority: Number(said.get("priority")) };
  const address = `/api/v1/review/${encodeURIComponent(form.dataset.review)}`;
  return send(address, form, { headers: JSON_TYPE, body: JSON.stringify(body) }, () => { document.activeElement.blur(); refresh(); });
}

function change(form, said) {
  const act = String(said.get("do")), key = { "Idempotency-Key": fresh() };
  const init = act === "cancel"
    ? { headers: { ...key, ...JSON_TYPE }, body: JSON.stringify({ reason: String(said.get("reason")) }) }
    : { headers: key };
  return send(`/api/v1/orders/${encodeURIComponent(form.dataset.change)}/${act}`, form, init, () => location.reload());
}

document.addEventListener("submit", (event) => {
  for (const [kind, act] of [["[data-review]", rule], ["[data-change]", change]]) {
    const form = event.target.closest(kind);
    if (!form) continue;
    event.preventDefault();
    act(form, new FormData(form, event.submitter));
  }
});

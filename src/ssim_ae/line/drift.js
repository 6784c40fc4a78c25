// Drift: one line that says whether the inspections still are as before, and if not, what has changed.

const NAMES = {
  nok: "share of nok",
  score: "score of accepted images",
  brightness: "brightness",
  contrast: "contrast",
  sharpness: "sharpness",
  shift_x: "shift to the right",
  shift_y: "shift downwards",
  turn: "turn",
};
const LOOKS = { camera: ["shift_x", "shift_y", "turn"], lens: ["contrast", "sharpness"], light: ["brightness", "contrast", "sharpness"], parts: ["nok", "score"] };

async function showDrift() {
  if (!data.has_drift) return;
  const [states, { role }] = await Promise.all([callApi("/v1/drift"), callApi("/v1/access")]);
  const of = ({ station, detector }) => `${station}\n${detector}`; // of several versions of a detector, the last one used
  const latest = states.filter((state, index) => states.findIndex((other) => of(other) === of(state)) === index);
  const alarms = latest.map(({ alarm }) => alarm).filter(Boolean);
  const images = latest.reduce((total, state) => total + state.images, 0);
  $("drift").hidden = !latest.length;
  $("drift").className = alarms.length ? "panel drift" : "muted drift";
  const quiet = make("span", { textContent: `No drift in the last ${counted(images, "image")}.` });
  $("drift").replaceChildren(...(alarms.length ? alarms.map((alarm) => alarmView(alarm, latest.length > 1, role === "administer")) : [quiet]));
}

function alarmView(alarm, isNamed, mayEnd) {
  const cause = alarm.text[0].toUpperCase() + alarm.text.slice(1);
  const strong = make("strong", { textContent: isNamed ? `${alarm.station}, ${alarm.detector}: ${alarm.text}` : cause });
  const since = new Date(alarm.since).toLocaleString();
  const text = make("span", { textContent: `, since about ${since}: ${alarm.changes.filter(isShown(alarm)).map(changeOf).join(", ")}. ` });
  const line = make("p", {}, strong, text);
  if (mayEnd) {
    const button = make("button", { type: "button", textContent: "It is as it should be" });
    button.title = "Repaired, or to stay: later images are compared with new ones";
    button.addEventListener("click", () =>
      guarded(async () => {
        button.disabled = true;
        await fetchApi(`/v1/drift/alarms/${alarm.id}/end`, { method: "POST" });
        await showDrift();
      }),
    );
    line.append(button);
  }
  return line;
}

/** Return whether a change is of the alarm's cause, and sure. */
function isShown({ cause, changes }) {
  const names = LOOKS[cause];
  const surest = Math.max(...changes.filter(({ name }) => names.includes(name)).map(({ z }) => Math.abs(z)));
  return ({ name, z }) => names.includes(name) && Math.abs(z) >= Math.min(3.5, surest);
}

function changeOf({ name, before, now }) {
  const units = { nok: (share) => `${percent(share)} %`, shift_x: (share) => `${percent(share)} %`, shift_y: (share) => `${percent(share)} %`, turn: (angle) => `${angle.toFixed(1)}°` };
  const shown = units[name] ?? ((value) => value.toPrecision(2));
  return `${NAMES[name]} ${shown(now)} instead of ${shown(before)}`;
}

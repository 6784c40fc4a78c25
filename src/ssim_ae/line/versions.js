// New versions of the server's runs, learned from reviews: made, compared, adopted, and the way back.

const POLL_MS = 500; // while a candidate is being made
let mayAdopt = true; // whether the role of the token permits it

async function showVersions() {
  if (!data.has_runs) return;
  const [runs, { role }] = await Promise.all([callApi("/v1/versions"), callApi("/v1/access")]);
  mayAdopt = role === "administer";
  $("versions").hidden = false;
  if (runs.some((run) => run.work || run.candidate)) $("versions").open = true;
  const focused = document.activeElement?.dataset?.action;
  $("runs").replaceChildren(...runs.map((run) => runView(run, runs.length > 1)));
  if (focused) document.querySelector(`[data-action="${CSS.escape(focused)}"]`)?.focus();
  if (runs.some((run) => run.work)) setTimeout(() => guarded(showVersions), POLL_MS);
}

function runView(run, isNamed) {
  const good = `${counted(run.confirmed_good, "image")} confirmed good`;
  const text = `Version ${run.version} of ${run.versions}. ${good}, ${run.confirmed_defective} defective.`;
  const parts = [make("p", { textContent: isNamed ? `${run.detector}: ${text}` : text })];
  if (run.problem) parts.push(make("p", { className: "defective", role: "alert", textContent: run.problem }));
  if (run.work) parts.push(workView(run.work));
  else if (run.candidate) parts.push(...candidateView(run));
  else parts.push(startView(run));
  if (run.changes.length) parts.push(make("p", { className: "muted", textContent: changeText(run.changes[0]) }));
  return make("div", { className: "run" }, ...parts);
}

function startView(run) {
  const buttons = make("div", { className: "controls" });
  if (!run.confirmed_good) {
    buttons.append(make("span", { className: "muted", textContent: "Review images as good: a new version can learn from them." }));
  } else {
    buttons.append(requestButton(run, "Raise thresholds", "candidate", { learn: false }));
    if (run.can_learn) buttons.append(requestButton(run, "Learn the good images", "candidate", { learn: true }));
  }
  if (mayAdopt && run.version > 1) {
    buttons.append(requestButton(run, "Back to the version before", "rollback", { fingerprint: run.fingerprint }));
  }
  return buttons;
}

function workView({ step, done, total }) {
  const bar = make("progress", { ariaLabel: step });
  if (total) Object.assign(bar, { max: total, value: done });
  return make("p", {}, bar, ` ${step}${total ? ` ${done} of ${total}` : ""}`);
}

function candidateView(run) {
  const { candidate } = run;
  const changed = candidate.changed.length ? `${counted(candidate.changed.length, "verdict")} would change.` : "No verdict would change.";
  const pictures = candidate.changed.filter(({ picture }) => picture !== null).map((image) => changedView(run, image));
  return [
    make("h3", { textContent: "The new version, compared with the current one" }),
    comparisonTable(candidate.groups),
    make("p", { textContent: changed }),
    make("ul", { className: "changed" }, ...pictures),
    make("p", { className: "muted", textContent: candidate.thresholds }),
    make(
      "div",
      { className: "controls" },
      ...(mayAdopt ? [requestButton(run, "Adopt", "adopt", { candidate: candidate.fingerprint })] : []),
      requestButton(run, "Discard", "discard"),
    ),
  ];
}

function comparisonTable(groups) {
  const row = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, { textContent: cell })));
  const rows = groups.filter(({ images }) => images).map(({ title, images, rejected_before, rejected_after }) => row("td", [title, images, rejected_before, rejected_after]));
  const head = make("thead", {}, row("th", ["images", "number", "nok now", "nok then"]));
  return make("table", {}, head, make("tbody", {}, ...rows));
}

function changedView(run, { name, group, before, after, picture }) {
  const verdict = (score) => (score > 1 ? "nok" : "ok");
  const isRight = (verdict(after) === "nok") === (group === "defective");
  const change = `${verdict(before)} ${before.toFixed(2)} → ${verdict(after)} ${after.toFixed(2)}`;
  const kind = group === "held out" ? "held-out good" : `confirmed ${group}`;
  const frame = make("div", { className: "pair" });
  imageUrl(`/v1/versions/${encodeURIComponent(run.detector)}/candidate/pictures/${picture}`).then(
    (src) => frame.append(make("img", { src, alt: `${name}: now, and with the new version` })),
    () => {},
  );
  const text = make("span", { className: isRight ? "good" : "defective", textContent: change });
  return make("li", {}, frame, text, make("small", { textContent: `${kind}: ${name}` }));
}

function changeText({ time, person, action, version }) {
  const change = action === "adopted" ? `Version ${version} adopted` : `Rolled back to version ${version}`;
  return `${change}${person ? ` by ${person}` : ""}, ${new Date(time).toLocaleString()}.`;
}

function requestButton(run, label, place, content) {
  const button = make("button", { type: "button", textContent: label });
  button.dataset.action = `${run.detector} ${place} ${content?.learn ?? ""}`;
  button.addEventListener("click", () =>
    guarded(async () => {
      button.disabled = true;
      const options = content ? { body: JSON.stringify(content), headers: { "Content-Type": "application/json" } } : {};
      try {
        await fetchApi(`/v1/versions/${encodeURIComponent(run.detector)}/${place}`, { method: "POST", ...options });
      } finally {
        await showVersions();
      }
    }),
  );
  return button;
}

// The verdicts at a threshold in figures: rates, confusion matrix, metrics by defect type, and the command to keep it.

const images = data.images; // those that are shown
const scored = [...images, ...data.others.flatMap(expanded)]; // all

/** Return an image for each image of a type that is not shown: the same object for equal verdicts at all levels. */
function expanded({ defect_type, defective, counts }) {
  const { level_thresholds } = data;
  const score = (exceeded) => level_thresholds[exceeded] ?? 2 * level_thresholds.at(-1);
  return counts.flatMap((count, exceeded) => Array(count).fill({ defect_type, defective, score: score(exceeded) }));
}

/** Return the 95 % score interval of a proportion (Wilson 1927), or null for a total of 0. */
function wilson(successes, total) {
  if (!total) return null;
  const z = 1.959963984540054;
  const halfWidth = z * Math.sqrt((successes * (total - successes)) / total + z ** 2 / 4);
  const bounds = [-halfWidth, halfWidth].map((side) => (successes + z ** 2 / 2 + side) / (total + z ** 2));
  return [successes ? bounds[0] : 0, successes < total ? bounds[1] : 1];
}

function share(count, total) {
  return { count, total, value: total ? count / total : null, interval: wilson(count, total) };
}

/** Return the confusion matrix at a level, and the shares of correct verdicts. */
function ratesAt(level) {
  const count = (defective, rejected) =>
    scored.filter((image) => image.defective === defective && isRejected(image, level) === rejected).length;
  const accepted = count(false, false);
  const falseAlarms = count(false, true);
  const missed = count(true, false);
  const detected = count(true, true);
  return {
    ...{ accepted, falseAlarms, missed, detected },
    ok: share(accepted, accepted + falseAlarms),
    nok: share(detected, detected + missed),
    avg: share(accepted + detected, scored.length),
  };
}

function intervalText(interval) {
  return interval && interval[0] !== null ? `${percent(interval[0])}–${percent(interval[1])}` : "";
}

function metric(name, rate, description) {
  return make("div", { className: "metric" }, make("span", { className: "muted", textContent: name }),
    make("strong", { id: `rate-${name}`, textContent: percent(rate.value) }),
    make("small", { textContent: data.tested ? intervalText(rate.interval) : "" }),
    make("small", { textContent: `${rate.count} of ${rate.total} ${description}` }));
}

function showRates(rates) {
  const metrics = [metric("ok", rates.ok, "good")];
  if (data.has_defective) {
    metrics.push(metric("nok", rates.nok, "defective"), metric("avg", rates.avg, "images"));
  }
  $("rates").replaceChildren(...metrics);
}

/** Show the confusion matrix; `link(verdict, text)` makes a link to the images with a wrong verdict. */
function showConfusionMatrix(rates, link) {
  const rows = [["good", rates.accepted, rates.falseAlarms, "false alarms"]];
  if (data.has_defective) rows.push(["defective", rates.missed, rates.detected, "missed"]);
  const heading = (textContent, scope) => make("th", { scope, textContent });
  const cell = (count, wrong) => make("td", {}, wrong && count ? link(wrong, `${count} ${wrong}`) : String(count));
  $("confusion-matrix").replaceChildren(
    make("caption", { className: "visually-hidden", textContent: "Confusion matrix" }),
    make("thead", {}, make("tr", {}, ...["actual", "accepted", "rejected"].map((text) => heading(text, "col")))),
    make("tbody", {}, ...rows.map(([actual, accepted, rejected, wrong]) => make("tr", {}, heading(actual, "row"),
      cell(accepted, actual === "defective" && wrong), cell(rejected, actual === "good" && wrong)))));
}

/** Show the metrics by defect type. Of these only the share of rejected images depends on the threshold. */
function showMetrics(level) {
  if (!data.has_defective) return;
  const headings = { image_auroc: "image AUROC", pixel_auroc: "pixel AUROC", au_pro_30: "AU-PRO .3", au_pro_05: "AU-PRO .05" };
  const cell = ([value, low, high]) => `<td>${value === null ? "–" : `${percent(value)} <small>${intervalText([low, high])}</small>`}</td>`;
  const row = ([type, metrics]) => {
    const ofType = scored.filter((image) => image.defective && (type === "all" || image.defect_type === type));
    const rejected = share(ofType.filter((image) => isRejected(image, level)).length, ofType.length);
    return `<tr class="${type === "all" ? "total" : ""}"><th scope="row">${escaped(type)}</th><td>${ofType.length}</td>` +
      cell([rejected.value, ...(rejected.interval ?? [null, null])]) +
      Object.keys(headings).map((key) => cell(metrics[key])).join("") + "</tr>";
  };
  const columns = ["type", "images", "rejected", ...Object.values(headings)];
  $("metrics-table").innerHTML =
    `<table><thead><tr>${columns.map((heading) => `<th scope="col">${heading}</th>`).join("")}</tr></thead>` +
    `<tbody>${Object.entries(data.metrics).map(row).join("")}</tbody></table>` +
    `<p class="muted">In %, with 95 % intervals (Wilson score intervals for shares, bootstrap for areas). Rejected: at this threshold.</p>`;
}

/** Show the command that sets the threshold, or the settings if the detector is an exported file. */
function showCommand(level) {
  $("apply-threshold").hidden = level === DEFAULT_LEVEL;
  const scaled = Object.entries(data.residual_thresholds)
    .map(([name, value]) => [`${name}_threshold`, Number((value * data.level_thresholds[level]).toPrecision(9))]);
  $("command").textContent = data.detector_path
    ? `ssim-ae threshold ${data.detector_path} ${scaled.map(([key, value]) => `--${key} ${value}`).join(" ")}`
    : scaled.map(([key, value]) => `${key}: ${value}`).join("\n");
}

async function copyCommand() {
  getSelection().selectAllChildren($("command"));
  await navigator.clipboard?.writeText($("command").textContent).catch(() => {});
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
}

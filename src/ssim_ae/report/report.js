// The report page: all verdicts and the metrics that depend on them are computed for the threshold of the slider.

const images = data.images;
const state = { level: DEFAULT_LEVEL, view: "mask", visible: [], dialogIndex: -1 };

// Metrics

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
    images.filter((image) => image.defective === defective && isRejected(image, level) === rejected).length;
  const accepted = count(false, false);
  const falseAlarms = count(false, true);
  const missed = count(true, false);
  const detected = count(true, true);
  return {
    ...{ accepted, falseAlarms, missed, detected },
    ok: share(accepted, accepted + falseAlarms),
    nok: share(detected, detected + missed),
    avg: share(accepted + detected, images.length),
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
  const rows = [["good", rates.accepted, rates.falseAlarms]];
  if (data.has_defective) rows.push(["defective", rates.missed, rates.detected]);
  const cell = (count, isError) => `<td class="${isError && count ? "defective" : ""}">${count}</td>`;
  const row = ([actual, accepted, rejected]) =>
    `<tr><th scope="row">${actual}</th>${cell(accepted, actual === "defective")}${cell(rejected, actual === "good")}</tr>`;
  $("confusion-matrix").innerHTML =
    `<caption class="visually-hidden">Confusion matrix</caption>` +
    `<thead><tr><th scope="col">actual</th><th scope="col">accepted</th><th scope="col">rejected</th></tr></thead>` +
    `<tbody>${rows.map(row).join("")}</tbody>`;
}

/** Show the metrics by defect type. Of these only the share of rejected images depends on the threshold. */
function showMetrics(level) {
  if (!data.has_defective) return;
  const headings = { image_auroc: "image AUROC", pixel_auroc: "pixel AUROC", au_pro_30: "AU-PRO .3", au_pro_05: "AU-PRO .05" };
  const cell = ([value, low, high]) => `<td>${value === null ? "–" : `${percent(value)} <small>${intervalText([low, high])}</small>`}</td>`;
  const row = ([type, metrics]) => {
    const ofType = images.filter((image) => image.defective && (type === "all" || image.defect_type === type));
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
  const scaled = (name) => Number((data.residual_thresholds[name] * data.level_thresholds[level]).toPrecision(9));
  const [ssim, l1] = [scaled("ssim"), scaled("l1")];
  $("command").textContent = data.detector_path
    ? `ssim-ae threshold ${data.detector_path} --ssim_threshold ${ssim} --l1_threshold ${l1}`
    : `ssim_threshold: ${ssim}\nl1_threshold: ${l1}`;
}

// Gallery

const cards = images.map((image, index) => {
  const url = (file) => `images/${image.name.split("/").map(encodeURIComponent).join("/")}_${file}`;
  image.index = index;
  image.small = url("small.jpg");
  image.layers = { original: url("origin.png"), reconstruction: url("rec.png"), levels: url("levels.png") };
  return galleryCard(image, state, () => openDialog(state.visible.indexOf(image)));
});

const VERDICT_FILTERS = {
  "all images": () => true,
  errors: (card) => card.nok !== card.image.defective,
  missed: (card) => !card.nok && card.image.defective,
  "false alarms": (card) => card.nok && !card.image.defective,
  rejected: (card) => card.nok,
  accepted: (card) => !card.nok,
};
const FILTERS_WITH_DEFECTS = ["errors", "missed", "false alarms"];
const ORDERS = {
  "highest score": (a, b) => b.image.score - a.image.score,
  "lowest score": (a, b) => a.image.score - b.image.score,
  "distance to the threshold": byDistance,
  name: (a, b) => a.image.index - b.image.index,
};

function byDistance(a, b) {
  const distance = (card) => Math.abs(levelOf(card.image.score) - state.level);
  return distance(a) - distance(b);
}

function sortCards() {
  cards.sort(ORDERS[$("order").value]);
  $("gallery").replaceChildren(...cards.map((card) => card.item));
  filterCards();
}

function filterCards() {
  const matches = VERDICT_FILTERS[$("verdict-filter").value];
  const type = $("defect-type").value;
  state.visible = [];
  for (const card of cards) {
    const visible = matches(card) && (type === "all types" || card.image.defect_type === type);
    if (card.item.hidden === visible) card.item.hidden = !visible;
    if (visible) state.visible.push(card.image);
  }
  const count = `${state.visible.length} of ${images.length} images`;
  if ($("count").textContent !== count) $("count").textContent = count; // screen readers announce each assignment
}

// Dialog with the views of one image

function openDialog(index) {
  if (index < 0 || index >= state.visible.length) return;
  state.dialogIndex = index;
  const image = state.visible[index];
  const verdict = isRejected(image, state.level) ? "nok" : "ok";
  const actual = image.defective ? `defective (${image.defect_type})` : "good";
  $("dialog-name").textContent = image.name;
  $("dialog-details").textContent =
    `score ${image.score.toFixed(4)}, threshold ${thresholdText(state.level)}, verdict ${verdict}, actual: ${actual}`;
  $("dialog-views").replaceChildren(...viewFigures(image));
  $("previous").disabled = index === 0;
  $("next").disabled = index === state.visible.length - 1;
  if (!$("image-dialog").open) $("image-dialog").showModal();
}

// Page

function escaped(text) {
  return make("i", { textContent: text }).innerHTML;
}

function setOptions(id, names) {
  $(id).replaceChildren(...names.map((name) => make("option", { textContent: name, value: name })));
}

/** Add a panel with a chart; return what `draw` returns. */
function addChart(title, draw, caption) {
  const container = make("div");
  $("curves").append(make("div", { className: "panel" }, make("h2", { textContent: title }), container,
    make("p", { className: "muted", textContent: caption })));
  return draw(container);
}

$("dataset").textContent = data.dataset;
$("summary").textContent = data.summary;
$("threshold-origin").textContent = data.threshold_origin;
$("metrics").hidden = !data.has_defective;
$("gallery-heading").textContent = data.heading;
$("about").replaceChildren(...data.about.map((text) => make("p", { textContent: text })));
addViewSelector($("view"), state, cards);
$("legend").innerHTML = `<i class="legend-key mask"></i> mask` +
  (data.has_defective ? ` &ensp;<i class="legend-key ground-truth"></i> ground truth` : "");
setOptions("defect-type", ["all types", ...new Set(images.map((image) => image.defect_type))]);
setOptions("verdict-filter", Object.keys(VERDICT_FILTERS).filter((name) => data.has_defective || !FILTERS_WITH_DEFECTS.includes(name)));
setOptions("order", Object.keys(ORDERS));
$("defect-type").parentElement.hidden = !data.has_defective;

const scoreLevels = images.map((image) => levelOf(image.score));
const lowest = Math.max(0, Math.min(DEFAULT_LEVEL - 20, Math.floor(Math.min(...scoreLevels)) - 8));
const highest = Math.min(data.level_thresholds.length - 1, Math.max(DEFAULT_LEVEL + 20, Math.ceil(Math.max(...scoreLevels)) + 8));

const drawHistogram = scoreHistogram($("histogram"), images, lowest, highest);
const moveOperatingPoint = data.roc && addChart("ROC curve", (container) => rocCurve(container, data.roc),
  `image AUROC ${percent(data.metrics.all.image_auroc[0])} %`);
if (data.history.length > 1) addChart("Loss", (container) => lossCurves(container, data.history), "logarithmic scale");

function showLevel(level) {
  state.level = level;
  const rates = ratesAt(level);
  drawHistogram(level);
  if (moveOperatingPoint) moveOperatingPoint(rates.falseAlarms / rates.ok.total, rates.detected / rates.nok.total);
  showRates(rates);
  showMetrics(level);
  showCommand(level);
  for (const card of cards) updateVerdict(card, level);
  filterCards();
}

function announceLevel(level) {
  if (ORDERS[$("order").value] === byDistance) sortCards();
  const rates = ratesAt(level);
  const missed = data.has_defective ? `, ${rates.missed} of ${rates.nok.total} defective images missed` : "";
  $("announcement").textContent =
    `threshold ${thresholdText(level)}: ${rates.falseAlarms} of ${rates.ok.total} good images rejected${missed}`;
}

connectThresholdSlider(lowest, highest, showLevel, announceLevel);
sortCards();

new ResizeObserver(() => drawHistogram(state.level)).observe($("histogram"));
$("defect-type").addEventListener("change", filterCards);
$("verdict-filter").addEventListener("change", filterCards);
$("order").addEventListener("change", sortCards);
$("close").addEventListener("click", () => $("image-dialog").close());
$("previous").addEventListener("click", () => openDialog(state.dialogIndex - 1));
$("next").addEventListener("click", () => openDialog(state.dialogIndex + 1));
$("image-dialog").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") openDialog(state.dialogIndex - 1);
  if (event.key === "ArrowRight") openDialog(state.dialogIndex + 1);
});
$("copy").addEventListener("click", async () => {
  getSelection().selectAllChildren($("command"));
  await navigator.clipboard?.writeText($("command").textContent).catch(() => {});
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
});

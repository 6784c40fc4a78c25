// The report page: all verdicts and the metrics that depend on them are computed for the threshold of the slider.

const cards = images.map((image, index) => {
  const url = (file) => `images/${image.files.split("/").map(encodeURIComponent).join("/")}_${file}`;
  image.index = index;
  image.view = data.view;
  image.small = url("small.jpg");
  image.layers = { original: url("origin.png"), reconstruction: data.reconstructs ? url("rec.png") : null, levels: url("levels.png"), regions: data.has_regions ? url("regions.png") : null };
  image.loadOriginal = async () => url("image.jpg");
  return galleryCard(image, state, () => openDialog(image));
});

// Dialog with one image

const viewer = createViewer({ wheelZooms: true });
let openedImage = null;

function openDialog(image) {
  openedImage = image;
  viewer.show(image);
  showDialogText();
  takeBarIntoDialog($("image-dialog"), $("dialog-threshold"));
  if (!$("image-dialog").open) {
    $("image-dialog").showModal();
    viewer.focus();
  }
}

/** Show what depends on the threshold and on the filter, which depends on it, too. */
function showDialogText() {
  const image = openedImage;
  const nok = isRejected(image, state.level);
  const actual = image.defective ? `defective (${image.defect_type})` : "good";
  $("dialog-name").textContent = image.name;
  showVerdictBadge($("dialog-verdict"), nok, nok !== image.defective);
  $("dialog-details").textContent = `score ${image.score.toFixed(4)}, actual: ${actual}`;
  $("previous").disabled = !neighbor(-1);
  $("next").disabled = !neighbor(1);
}

/** Return the visible image before (-1) or after (1) the opened one, which the filter may have hidden. */
function neighbor(step) {
  const index = state.visible.indexOf(openedImage);
  return index < 0 ? state.visible[0] : state.visible[index + step];
}

function step(direction) {
  const image = neighbor(direction);
  if (image) openDialog(image);
}

// Page

/** Return a link to the gallery that shows the images with a wrong verdict. */
function mistakesLink(verdict, text) {
  const link = make("a", { href: "#gallery-heading", className: "mistakes", textContent: text });
  link.addEventListener("click", () => filterByVerdict(verdict, cards));
  return link;
}

$("dataset").textContent = data.dataset;
$("summary").textContent = data.summary;
$("threshold-origin").textContent = data.threshold_origin;
$("metrics").hidden = !data.has_defective;
$("gallery-heading").textContent = data.heading;
$("how-shown").textContent = data.how_shown;
$("how-shown").hidden = !data.how_shown;
$("about").replaceChildren(...data.about.map((text) => make("p", { textContent: text })));
$("dialog-viewer").append(viewer.element);
if (data.detectability) showDetectability($("detectability-content"), data.detectability);
$("detectability").hidden = !data.detectability;
addGalleryViewSelector($("view"), state, cards);
$("legend").innerHTML = `<i class="legend-key mask"></i> mask` +
  (data.has_defective ? ` &ensp;<i class="legend-key ground-truth"></i> ground truth` : "");
setFilterOptions();

const scoreLevels = [...new Set(scored.map((image) => levelOf(image.score)))];
const lowest = Math.max(0, Math.min(DEFAULT_LEVEL - 20, Math.floor(Math.min(...scoreLevels)) - 8));
const highest = Math.min(data.level_thresholds.length - 1, Math.max(DEFAULT_LEVEL + 20, Math.ceil(Math.max(...scoreLevels)) + 8));

const drawHistogram = scoreHistogram($("histogram"), scored, lowest, highest);
const moveOperatingPoint = data.roc && rocCurve($("roc-chart"), data.roc);
$("roc").hidden = !data.roc;
$("roc-caption").textContent = data.roc ? `image AUROC ${percent(data.metrics.all.image_auroc[0])} %` : "";
$("loss").hidden = data.history.length < 2;
if (data.history.length > 1) lossCurves($("loss-chart"), data.history);

function showLevel(level) {
  state.level = level;
  const rates = ratesAt(level);
  drawHistogram(level);
  if (moveOperatingPoint) moveOperatingPoint(rates.falseAlarms / rates.ok.total, rates.detected / rates.nok.total);
  showRates(rates);
  showConfusionMatrix(rates, mistakesLink);
  showMetrics(level);
  showCommand(level);
  $("bar-effect").textContent = counted(rates.falseAlarms, "false alarm") + (data.has_defective ? `, ${rates.missed} missed` : "");
  for (const card of cards) updateVerdict(card, level);
  filterCards(cards);
  if (openedImage) showDialogText();
}

function announceLevel(level) {
  if (ORDERS[$("order").value] === byDistance) sortCards(cards);
  const rates = ratesAt(level);
  const missed = data.has_defective ? `, ${rates.missed} of ${rates.nok.total} defective images missed` : "";
  $("announcement").textContent =
    `threshold ${thresholdText(level)}: ${rates.falseAlarms} of ${rates.ok.total} good images rejected${missed}`;
}

connectThresholdSliders(lowest, highest, showLevel, announceLevel);
sortCards(cards);

new ResizeObserver(() => drawHistogram(state.level)).observe($("histogram"));
$("defect-type").addEventListener("change", () => filterCards(cards));
$("verdict-filter").addEventListener("change", () => filterCards(cards));
$("order").addEventListener("change", () => sortCards(cards));
$("show-all").addEventListener("click", () => {
  filterByVerdict(ALL_VERDICTS, cards);
  $("verdict-filter").focus(); // the button disappears
});
$("close").addEventListener("click", () => $("image-dialog").close());
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("image-dialog").addEventListener("keydown", (event) => {
  if (event.target.matches("input")) return; // arrow keys move the slider and select the view
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
$("copy").addEventListener("click", copyCommand);

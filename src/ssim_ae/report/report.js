// The report: one limit, and all that follows from it.

const images = data.images;
const state = { k: OWN_LIMIT, view: "found", shown: [], open: -1 };

/** 95 % interval of a share (Wilson 1927). */
function wilson(right, total) {
  if (!total) return null;
  const z = 1.959963984540054;
  const reach = z * Math.sqrt((right * (total - right)) / total + z ** 2 / 4);
  const bounds = [right + z ** 2 / 2 - reach, right + z ** 2 / 2 + reach].map((bound) => bound / (total + z ** 2));
  return [right ? bounds[0] : 0, right < total ? bounds[1] : 1];
}

function share(right, total) {
  const interval = wilson(right, total);
  return { right, total, value: total ? right / total : null, interval };
}

/** What the verdicts at a limit add up to. */
function ratesAt(k) {
  const count = (defective, nok) =>
    images.filter((image) => image.defective === defective && called(image, k) === nok).length;
  const [accepted, rejected, missed, found] = [count(false, false), count(false, true), count(true, false), count(true, true)];
  return {
    ...{ accepted, rejected, missed, found },
    ok: share(accepted, accepted + rejected),
    nok: share(found, found + missed),
    avg: share(accepted + found, images.length),
  };
}

function interval(bounds) {
  return bounds && bounds[0] !== null ? `${percent(bounds[0])}–${percent(bounds[1])}` : "";
}

function tile(name, told, figure) {
  return make("div", { className: "tile" }, make("span", { className: "faint", textContent: name }),
    make("strong", { id: `rate-${name}`, textContent: percent(figure.value) }),
    make("small", { textContent: data.tested ? interval(figure.interval) : "" }), make("small", { textContent: told }));
}

function showRates(rates) {
  const tiles = [tile("ok", `${rates.ok.right} of ${rates.ok.total} good`, rates.ok)];
  if (data.defective) {
    tiles.push(tile("nok", `${rates.nok.right} of ${rates.nok.total} defective`, rates.nok));
    tiles.push(tile("avg", `${rates.avg.right} of ${rates.avg.total}`, rates.avg));
  }
  $("rates").replaceChildren(...tiles);
  const rows = [["good", rates.accepted, rates.rejected]];
  if (data.defective) rows.push(["defective", rates.missed, rates.found]);
  const cell = (count, wrong) => `<td class="${wrong && count ? "defective" : ""}">${count}</td>`;
  $("confusion").innerHTML =
    `<caption class="unseen">Confusion matrix</caption><thead><tr><th>truly</th><th scope="col">called ok</th><th scope="col">called nok</th></tr></thead><tbody>` +
    rows.map(([kind, ok, nok]) => `<tr><th scope="row">${kind}</th>${cell(ok, kind === "defective")}${cell(nok, kind === "good")}</tr>`).join("") +
    "</tbody>";
}

/** Metrics by type: those of verdicts move with the limit, areas under curves do not. */
function showTypes(k) {
  if (!data.defective) return;
  const columns = [["image_auroc", "image AUROC"], ["pixel_auroc", "pixel AUROC"], ["au_pro_30", "AU-PRO .3"], ["au_pro_05", "AU-PRO .05"]];
  const figure = ([value, low, high]) => value === null ? "–" : `${percent(value)} <small>${interval([low, high])}</small>`;
  const row = (name, figures) => {
    const mine = images.filter((image) => image.defective && (name === "all" || image.type === name));
    const found = share(mine.filter((image) => called(image, k)).length, mine.length);
    const cells = columns.map(([key]) => `<td>${figure(figures[key])}</td>`).join("");
    return `<tr class="${name === "all" ? "all" : ""}"><th scope="row">${escaped(name)}</th><td>${mine.length}</td>` +
      `<td>${figure([found.value, ...(found.interval ?? [null, null])])}</td>${cells}</tr>`;
  };
  $("types").innerHTML =
    `<table><thead><tr><th scope="col">type</th><th scope="col">images</th><th scope="col">found at this limit</th>` +
    columns.map(([, heading]) => `<th scope="col">${heading}</th>`).join("") + "</tr></thead><tbody>" +
    Object.entries(data.figures).map(([name, figures]) => row(name, figures)).join("") +
    `</tbody></table><p class="faint">In %, with 95 % intervals: Wilson’s for shares, by resampling images for areas.</p>`;
}

function showLine(k) {
  $("keep").hidden = k === OWN_LIMIT;
  const [ssim, l1] = ["ssim", "l1"].map((name) => Number((data.thresholds[name] * data.limits[k]).toPrecision(9)));
  $("line").textContent = data.path
    ? `ssim-ae threshold ${data.path} --ssim_threshold ${ssim} --l1_threshold ${l1}`
    : `ssim_threshold: ${ssim}\nl1_threshold: ${l1}`; // in the config of the detector that this one was exported from
}

// Gallery

const cards = images.map((image, index) => {
  const address = (kind) => `images/${image.name.split("/").map(encodeURIComponent).join("/")}_${kind}`;
  image.index = index;
  image.small = address("small.jpg");
  image.layers = { original: address("origin.png"), reconstruction: address("rec.png"), levels: address("levels.png") };
  return card(image, state, () => openCloser(state.shown.indexOf(image)));
});

const JUDGED = {
  "all images": () => true,
  mistakes: (card) => card.nok !== card.image.defective,
  missed: (card) => !card.nok && card.image.defective,
  "false alarms": (card) => card.nok && !card.image.defective,
  "called nok": (card) => card.nok,
  "called ok": (card) => !card.nok,
};
const ORDERS = {
  "highest score first": (a, b) => b.image.score - a.image.score,
  "lowest score first": (a, b) => a.image.score - b.image.score,
  "closest to the limit": byDistance,
  name: (a, b) => a.image.index - b.image.index,
};

function byDistance(a, b) {
  const [near, far] = [a, b].map((card) => Math.abs(levelOf(card.image.score) - state.k));
  return near - far;
}

function sort() {
  cards.sort(ORDERS[$("order").value]);
  $("gallery").replaceChildren(...cards.map((card) => card.item));
  filter();
}

function filter() {
  const wanted = JUDGED[$("judged").value];
  const type = $("type").value;
  state.shown = [];
  for (const card of cards) {
    const shown = wanted(card) && (type === "all types" || card.image.type === type);
    if (card.item.hidden === shown) card.item.hidden = !shown;
    if (shown) state.shown.push(card.image);
  }
  const count = `${state.shown.length} of ${images.length} images`;
  if ($("count").textContent !== count) $("count").textContent = count; // it is said aloud
}

// One image, closer

function openCloser(index) {
  if (index < 0 || index >= state.shown.length) return;
  state.open = index;
  const image = state.shown[index];
  $("closer-name").textContent = image.name;
  const nok = called(image, state.k);
  $("closer-told").textContent = `score ${image.score.toFixed(4)}, ${nok ? "nok" : "ok"} at limit ${data.limits[state.k].toFixed(3)}; truly ${image.defective ? `defective: ${image.type}` : "good"}`;
  $("four").replaceChildren(...allViews(image));
  $("previous").disabled = index === 0;
  $("next").disabled = index === state.shown.length - 1;
  if (!$("closer").open) $("closer").showModal();
}

// All of it

function escaped(text) {
  return make("i", { textContent: text }).innerHTML;
}

function options(id, names) {
  $(id).replaceChildren(...names.map((name) => make("option", { textContent: name, value: name })));
}

function chart(title, draw, told = "") {
  const place = make("div");
  $("curves").append(make("div", { className: "card" }, make("h2", { textContent: title }), place, make("p", { className: "faint", textContent: told })));
  return draw(place);
}

$("dataset").textContent = data.dataset;
$("summary").textContent = data.summary;
$("images").textContent = data.heading;
$("figures").hidden = !data.defective;
$("origin").replaceChildren(...data.origin.map((text) => make("p", { textContent: text })));
viewChoice($("view"), state, cards);
$("legend").innerHTML = `<i class="key found"></i> found` + (data.defective ? ` &ensp;<i class="key truth"></i> ground truth` : "");
options("type", ["all types", ...new Set(images.map((image) => image.type))]);
options("judged", Object.keys(JUDGED).filter((name) => data.defective || !["mistakes", "missed", "false alarms"].includes(name)));
options("order", Object.keys(ORDERS));
$("type").parentElement.hidden = !data.defective;

const spread = images.map((image) => levelOf(image.score));
const low = Math.max(0, Math.min(OWN_LIMIT - 20, Math.floor(Math.min(...spread)) - 8));
const high = Math.min(data.limits.length - 1, Math.max(OWN_LIMIT + 20, Math.ceil(Math.max(...spread)) + 8));

const drawHistogram = histogram($("histogram"), images, low, high);
const moveOnRoc = data.roc && chart("ROC", (place) => rocCurve(place, data.roc), `area ${percent(data.figures.all.image_auroc[0])} %, by images`);
if (data.history.length > 1) chart("Learning", (place) => lossCurves(place, data.history), "loss");

limitSlider(low, high, (k) => {
  state.k = k;
  const rates = ratesAt(k);
  drawHistogram(k);
  if (moveOnRoc) moveOnRoc(rates.rejected / rates.ok.total, rates.found / rates.nok.total);
  showRates(rates);
  showTypes(k);
  showLine(k);
  for (const card of cards) judge(card, k);
  filter();
}, (k) => {
  if (ORDERS[$("order").value] === byDistance) sort();
  const rates = ratesAt(k);
  const missed = data.defective ? `, ${rates.missed} of ${rates.nok.total} defective images missed` : "";
  $("said").textContent = `limit ${limitText(k)}: ${rates.rejected} of ${rates.ok.total} good images called defective${missed}`;
});
sort();

new ResizeObserver(() => drawHistogram(state.k)).observe($("histogram"));
$("where").textContent = data.where;
$("type").addEventListener("change", filter);
$("judged").addEventListener("change", filter);
$("order").addEventListener("change", sort);
$("close").addEventListener("click", () => $("closer").close());
$("previous").addEventListener("click", () => openCloser(state.open - 1));
$("next").addEventListener("click", () => openCloser(state.open + 1));
$("closer").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") openCloser(state.open - 1);
  if (event.key === "ArrowRight") openCloser(state.open + 1);
});
$("copy").addEventListener("click", async () => {
  getSelection().selectAllChildren($("line"));
  await navigator.clipboard?.writeText($("line").textContent).catch(() => {});
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
});

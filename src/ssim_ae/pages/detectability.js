// The section "What it can find": the share of drawn defects that a detector finds, by size and contrast.

const CHART_HEIGHT = 240; // px
const CHART_MARGIN = { left: 46, right: 16, top: 10, bottom: 46 }; // px
const MIN_TICK_DISTANCE = 34; // px
const MARKERS = [ // a shape for each contrast, beside its color; d of a path around (0, 0)
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
  "M-4 -4H4V4H-4Z",
  "M0 -5L5 4H-5Z",
  "M0 -6L5 0L0 6L-5 0Z",
];

/** Fill `container` with sentence, chart and table of a detector's detectability; see pages/detectability.py. */
function showDetectability(container, detectability) {
  const { sentence, images, working_size: [height, width] } = detectability;
  const chart = make("div");
  const legend = make("ul", { className: "chart-legend" }, ...detectability.contrasts.map((name, index) => {
    const swatch = make("span");
    swatch.innerHTML = `<svg class="chart" viewBox="0 0 34 12" aria-hidden="true">${swatchLine(index)}</svg>`;
    return make("li", {}, swatch, `${name} contrast`);
  }));
  const inWords = make("p", { className: "sentence", textContent: sentence });
  if (!detectability.sizes.length) return container.replaceChildren(inWords); // no defect could be drawn
  container.replaceChildren(inWords, legend, chart,
    make("p", { className: "muted", textContent:
      `Share of drawn defects found, with 95 % intervals, in ${images} good ${images === 1 ? "image" : "images"}. ` +
      `Images are inspected at ${width} × ${height} px.` }),
    make("details", {}, make("summary", { textContent: "As a table" }), detectabilityTable(detectability)));
  let drawnWidth = 0;
  new ResizeObserver(() => {
    if (chart.clientWidth === drawnWidth || !chart.clientWidth) return;
    drawnWidth = chart.clientWidth;
    chart.innerHTML = detectabilityChart(detectability, drawnWidth);
  }).observe(chart);
}

function swatchLine(index) {
  return `<path class="line contrast-${index % MARKERS.length}" d="M1 6H33"/>` + marker(index, 17, 6, "");
}

function marker(index, x, y, title) {
  const shape = index % MARKERS.length;
  return `<path class="marker contrast-${shape}" transform="translate(${x} ${y})" d="${MARKERS[shape]}">${title}</path>`;
}

function detectabilityChart({ sizes, contrasts, found, low, high }, width) {
  const { left, right, top, bottom } = CHART_MARGIN;
  const [smallest, largest] = [Math.log(sizes[0]), Math.log(sizes[sizes.length - 1])];
  const x = (size) => left + (largest > smallest ? (Math.log(size) - smallest) / (largest - smallest) : 0.5) * (width - left - right);
  const y = (share) => top + (1 - share) * (CHART_HEIGHT - top - bottom);
  const points = (shares) => shares.map((share, index) => `${x(sizes[index]).toFixed(1)} ${y(share).toFixed(1)}`);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    `<line class="axis" x1="${left}" x2="${width - right}" y1="${y(share)}" y2="${y(share)}"/>` +
    `<text x="${left - 8}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>`);
  let lastTick = -Infinity;
  const ticks = sizes.map((size) => {
    if (x(size) - lastTick < MIN_TICK_DISTANCE) return "";
    lastTick = x(size);
    return `<text x="${x(size)}" y="${y(0) + 18}" text-anchor="middle">${pixelText(size)}</text>`;
  });
  const bands = contrasts.map((_, row) =>
    `<path class="band contrast-${row % MARKERS.length}" d="M${[...points(low[row]), ...points(high[row]).reverse()].join("L")}Z"/>`);
  const lines = contrasts.map((name, row) =>
    `<path class="line contrast-${row % MARKERS.length}" d="M${points(found[row]).join("L")}"/>` +
    sizes.map((size, column) => marker(row, x(size).toFixed(1), y(found[row][column]).toFixed(1),
      `<title>${pixelText(size)} px, ${escaped(name)} contrast: ${percent(found[row][column])} %</title>`)).join(""));
  return `<svg class="chart" viewBox="0 0 ${width} ${CHART_HEIGHT}" role="img" aria-label="Share of defects found, by size; the table below has the figures">` +
    [...grid, ...ticks, ...bands, ...lines].join("") +
    `<text x="${(left + width - right) / 2}" y="${CHART_HEIGHT - 6}" text-anchor="middle">size of the defect, px of the image</text></svg>`;
}

function detectabilityTable({ sizes, contrasts, found, low, high }) {
  const row = (size, column) => make("tr", {}, make("th", { scope: "row", textContent: `${pixelText(size)} px` }),
    ...contrasts.map((_, contrast) => make("td", {}, percent(found[contrast][column]), " ",
      make("small", { textContent: `${percent(low[contrast][column])}–${percent(high[contrast][column])}` }))));
  const heading = (textContent) => make("th", { scope: "col", textContent });
  const table = make("table", {},
    make("caption", { className: "visually-hidden", textContent: "Share of defects found, in %, with 95 % intervals" }),
    make("thead", {}, make("tr", {}, heading("size"), ...contrasts.map((name) => heading(`${name} contrast`)))),
    make("tbody", {}, ...sizes.map(row)));
  const region = make("div", { className: "scrollable", tabIndex: 0, ariaLabel: "Share of defects found" }, table);
  region.setAttribute("role", "region");
  return region;
}

function pixelText(size) {
  return size < 10 && size % 1 ? size.toFixed(1) : size.toFixed(0);
}

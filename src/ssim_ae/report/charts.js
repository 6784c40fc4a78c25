// Charts as SVG. The functions of charts that depend on the threshold return a function that updates them.

const HISTOGRAM_BINS = 56;
const HISTOGRAM_ROW = 92; // px, the height of the bars of one class and the text above them
const HISTOGRAM_LABEL = 26; // px of it, for the text
const MIN_BAR = 3; // px, so that a single image is visible
const THUMB_RADIUS = 8; // px, of the slider below the histogram: both have the same axis
const OVERFLOW_WIDTH = 76; // px, for scores beyond the axis
const CHARACTER_WIDTH = 7; // px, of a label
const COARSE_TICKS = [1, 2, 0.5, 4, 0.25, 8, 0.125]; // the most important first: later ones are omitted if they overlap
const FINE_TICKS = [0.7, 0.85, 1.2, 1.4];
const SMALL_CHART = 150; // px, height and width of the axes
const OVERFLOWS = { below: (level, low) => level < low, above: (level, _low, high) => level > high };

/**
 * Draw the scores of good images above those of defective ones, from level `low` to `high`; return `draw(level)`.
 *
 * Scores beyond these levels have a bar of their own, with their number, at the side of the axis.
 */
function scoreHistogram(container, images, low, high) {
  const classes = data.has_defective ? ["good", "defective"] : ["good"];
  const bottom = classes.length * HISTOGRAM_ROW;
  const height = bottom + 22;
  const side = (image) => Object.keys(OVERFLOWS).find((name) => OVERFLOWS[name](levelOf(image.score), low, high)) ?? "axis";
  const room = Object.fromEntries(Object.keys(OVERFLOWS).map((name) =>
    [name, images.some((image) => side(image) === name) ? OVERFLOW_WIDTH : 0]));
  for (const [name, width] of Object.entries(room)) container.parentElement.style.setProperty(`--${name}`, `${width}px`);

  return (level) => {
    const width = container.clientWidth || 720;
    const left = room.below + THUMB_RADIUS;
    const right = width - room.above - THUMB_RADIUS;
    const x = (position) => left + ((position - low) / (high - low)) * (right - left);
    const overflowX = { below: [0, room.below - 14], above: [width - room.above + 14, width] };
    const rows = classes.map((name, index) => {
      const ofClass = images.filter((image) => image.defective === (name === "defective"));
      const base = (index + 1) * HISTOGRAM_ROW;
      const onAxis = ofClass.filter((image) => side(image) === "axis");
      const counts = countVerdicts(onAxis, level, (score) => (levelOf(score) - low) / (high - low));
      const wrong = ofClass.filter((image) => isRejected(image, level) !== image.defective).length;
      const overflows = Object.entries(overflowX).map(([where, edges]) =>
        overflowBar(ofClass.filter((image) => side(image) === where), level, edges, base, name));
      return `<text x="${THUMB_RADIUS}" y="${base - HISTOGRAM_ROW + 16}">${ofClass.length} ${name}, ${classText(name, wrong)}</text>` +
        `<line class="axis" x1="${left}" x2="${right}" y1="${base}" y2="${base}"/>` +
        histogramBars(counts, (bin) => x(low + ((high - low) * bin) / HISTOGRAM_BINS), base, name) + overflows.join("") +
        thresholdLine("default-threshold", x(DEFAULT_LEVEL), base) + thresholdLine("threshold", x(level), base);
    });
    const candidates = high - low > 3 * data.steps_per_doubling ? COARSE_TICKS : [...COARSE_TICKS, ...FINE_TICKS];
    const ticks = Object.entries(overflowX).filter(([where]) => room[where]).map(([where, edges]) =>
      ({ x: (edges[0] + edges[1]) / 2, text: `${where} ${data.level_thresholds[where === "above" ? high : low]}` }));
    for (const tick of candidates.filter((tick) => levelOf(tick) >= low && levelOf(tick) <= high)) {
      ticks.push({ x: x(levelOf(tick)), text: String(tick) });
    }
    container.innerHTML =
      `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Histogram of image scores">` + rows.join("") +
      withoutOverlaps(ticks).map((tick) => `<text x="${tick.x}" y="${height - 4}" text-anchor="middle">${tick.text}</text>`).join("") + "</svg>";
  };
}

/** Return the labels {x, text} without those that would overlap an earlier one. */
function withoutOverlaps(labels) {
  const kept = [];
  for (const label of labels) {
    const isFree = (other) => Math.abs(label.x - other.x) > (CHARACTER_WIDTH * (label.text.length + other.text.length)) / 2 + 4;
    if (kept.every(isFree)) kept.push(label);
  }
  return kept;
}

function classText(name, wrong) {
  return name === "good" ? counted(wrong, "false alarm") : `${wrong} missed`;
}

/** A line beside the bars of a class: it must not cross the text above them. */
function thresholdLine(name, x, base) {
  return `<line class="${name}" x1="${x}" x2="${x}" y1="${base - HISTOGRAM_ROW + HISTOGRAM_LABEL}" y2="${base}"/>`;
}

/** Draw the bar of scores beyond the axis. Its height is full: its number says how many there are. */
function overflowBar(images, level, [left, right], base, name) {
  if (!images.length) return "";
  const isWrong = isRejected(images[0], level) !== images[0].defective; // equal for all: the slider ends with the axis
  const height = HISTOGRAM_ROW - HISTOGRAM_LABEL - 16;
  return rectangle(left + 12, base - height, right - left - 24, height, isWrong ? "wrong" : name) +
    `<text x="${(left + right) / 2}" y="${base - height - 5}" text-anchor="middle">${images.length}</text>`;
}

/** Count correct and wrong verdicts by bin; `position` maps a score to [0, 1]. */
function countVerdicts(images, level, position) {
  const counts = { correct: Array(HISTOGRAM_BINS).fill(0), wrong: Array(HISTOGRAM_BINS).fill(0) };
  for (const image of images) {
    const bin = Math.min(HISTOGRAM_BINS - 1, Math.floor(position(image.score) * HISTOGRAM_BINS));
    counts[isRejected(image, level) === image.defective ? "correct" : "wrong"][bin] += 1;
  }
  return counts;
}

/** Stack wrong on correct verdicts in each bin; `edge` maps a bin to its left edge in px. */
function histogramBars({ correct, wrong }, edge, base, name) {
  const highest = Math.max(1, ...correct.map((count, bin) => count + wrong[bin]));
  const unit = (HISTOGRAM_ROW - HISTOGRAM_LABEL - 4) / highest;
  const barHeight = (count) => (count ? Math.max(MIN_BAR, count * unit) : 0);
  return correct.map((_, bin) => {
    const left = edge(bin) + 0.5;
    const width = edge(bin + 1) - left - 0.5;
    const correctHeight = barHeight(correct[bin]);
    const wrongHeight = barHeight(wrong[bin]);
    return (correctHeight ? rectangle(left, base - correctHeight, width, correctHeight, name) : "") +
      (wrongHeight ? rectangle(left, base - correctHeight - wrongHeight, width, wrongHeight, "wrong") : "");
  }).join("");
}

function rectangle(x, y, width, height, name) {
  return `<rect class="${name}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}"/>`;
}

/** Draw the ROC curve of [false-positive rate, true-positive rate] points; return what moves the operating point. */
function rocCurve(container, points) {
  const x = (rate) => 22 + rate * SMALL_CHART;
  const y = (rate) => 8 + (1 - rate) * SMALL_CHART;
  const path = points.map(([falsePositive, truePositive], index) => `${index ? "L" : "M"}${x(falsePositive)} ${y(truePositive)}`).join("");
  container.innerHTML =
    `<svg class="chart" viewBox="0 0 184 196" role="img" aria-label="ROC curve of the images">` +
    `<path class="axis" d="M${x(0)} ${y(1)}V${y(0)}H${x(1)}"/><path class="axis" d="M${x(0)} ${y(0)}L${x(1)} ${y(1)}"/>` +
    `<path class="series-1" d="${path}"/><circle class="operating-point" r="5"/>` +
    `<text x="${x(0.5)}" y="${y(0) + 32}" text-anchor="middle">good rejected</text>` +
    `<text x="12" y="${y(0.5)}" text-anchor="middle" transform="rotate(-90 12 ${y(0.5)})">defective rejected</text>` +
    [0, 1].map((tick) => `<text x="${x(tick)}" y="${y(0) + 16}" text-anchor="middle">${tick}</text>`).join("") +
    `<text x="${x(0) - 6}" y="${y(1) + 6}" text-anchor="end">1</text></svg>`;
  const point = container.querySelector(".operating-point");
  return (falsePositive, truePositive) => {
    point.setAttribute("cx", x(falsePositive));
    point.setAttribute("cy", y(truePositive));
  };
}

/** Draw the losses of each epoch on a logarithmic axis. */
function lossCurves(container, epochs) {
  const training = epochs.map((epoch) => epoch.loss);
  const heldOut = epochs.map((epoch) => epoch.held_out_loss);
  const positive = [...training, ...heldOut].filter((loss) => loss > 0);
  const [smallest, largest] = [Math.min(...positive), Math.max(...positive)];
  const low = Math.log(smallest) - 0.05;
  const high = Math.log(largest) + 0.05;
  const width = 1.6 * SMALL_CHART;
  const x = (index) => 48 + (index / Math.max(1, epochs.length - 1)) * width;
  const y = (loss) => 8 + ((high - Math.log(loss)) / (high - low)) * SMALL_CHART;
  const bottom = 8 + SMALL_CHART;
  const path = (losses) =>
    losses.map((loss, index) => (loss > 0 ? `${index ? "L" : "M"}${x(index)} ${y(loss)}` : "")).join("");
  container.innerHTML =
    `<svg class="chart" viewBox="0 0 ${width + 60} ${bottom + 38}" role="img" aria-label="Loss by epoch, from ${largest.toPrecision(3)} to ${smallest.toPrecision(3)}">` +
    `<path class="axis" d="M48 8V${bottom}H${48 + width}"/>` +
    `<path class="series-1" d="${path(training)}"/><path class="series-2" d="${path(heldOut)}"/>` +
    [smallest, largest].map((loss) => `<text x="42" y="${y(loss) + 4}" text-anchor="end">${loss.toPrecision(2)}</text>`).join("") +
    `<text x="48" y="${bottom + 16}">1</text><text x="${48 + width}" y="${bottom + 16}" text-anchor="end">${epochs.length}</text>` +
    `<text x="${48 + width / 2}" y="${bottom + 32}" text-anchor="middle">epoch</text>` +
    `<text class="good" x="${46 + width}" y="22" text-anchor="end">training images</text>` +
    (heldOut[0] ? `<text class="defective" x="${46 + width}" y="40" text-anchor="end">held-out images</text>` : "") +
    "</svg>";
}

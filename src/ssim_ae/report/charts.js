// Charts as SVG. The functions of charts that depend on the threshold return a function that updates them.

const HISTOGRAM_BINS = 56;
const HISTOGRAM_ROW = 92; // px, the height of the bars of one class and the text above them
const THUMB_RADIUS = 8; // px, of the slider below the histogram: both have the same axis
const COARSE_TICKS = [0.125, 0.25, 0.5, 1, 2, 4, 8];
const FINE_TICKS = [0.7, 0.85, 1.2, 1.4];

/** Draw the scores of good images above those of defective ones, from level `low` to `high`; return `draw(level)`. */
function scoreHistogram(container, images, low, high) {
  const classes = data.has_defective ? ["good", "defective"] : ["good"];
  const bottom = classes.length * HISTOGRAM_ROW;
  const height = bottom + 22;
  const clamped = (score) => Math.min(high, Math.max(low, levelOf(score)));

  return (level) => {
    const width = container.clientWidth || 720;
    const x = (position) => THUMB_RADIUS + ((position - low) / (high - low)) * (width - 2 * THUMB_RADIUS);
    const rows = classes.map((name, index) => {
      const ofClass = images.filter((image) => image.defective === (name === "defective"));
      const counts = countVerdicts(ofClass, level, (score) => (clamped(score) - low) / (high - low));
      const errors = counts.errors.reduce((sum, count) => sum + count, 0);
      const label = `${ofClass.length} ${name}, ${errors} ${name === "good" ? "false alarms" : "missed"}`;
      const base = (index + 1) * HISTOGRAM_ROW;
      return {
        bars: `<line class="axis" x1="0" x2="${width}" y1="${base}" y2="${base}"/>` +
          histogramBars(counts, (bin) => x(low + ((high - low) * bin) / HISTOGRAM_BINS), base, name),
        label: `<text class="over-lines" x="${THUMB_RADIUS}" y="${base - HISTOGRAM_ROW + 16}">${label}</text>`,
      };
    });
    const candidates = high - low > 3 * data.steps_per_doubling ? COARSE_TICKS : [...COARSE_TICKS, ...FINE_TICKS];
    const ticks = candidates.filter((tick) => clamped(tick) > low && clamped(tick) < high)
      .map((tick) => `<text x="${x(clamped(tick))}" y="${height - 4}" text-anchor="middle">${tick}</text>`);
    const line = (name, position) => `<line class="${name}" x1="${x(position)}" x2="${x(position)}" y1="0" y2="${bottom}"/>`;
    container.innerHTML =
      `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Histogram of image scores">` +
      rows.map(({ bars }) => bars).join("") + line("default-threshold", DEFAULT_LEVEL) + line("threshold", level) +
      rows.map(({ label }) => label).join("") + ticks.join("") + "</svg>";
  };
}

/** Count correct verdicts and errors by bin; `position` maps a score to [0, 1]. */
function countVerdicts(images, level, position) {
  const counts = { correct: Array(HISTOGRAM_BINS).fill(0), errors: Array(HISTOGRAM_BINS).fill(0) };
  for (const image of images) {
    const bin = Math.min(HISTOGRAM_BINS - 1, Math.floor(position(image.score) * HISTOGRAM_BINS));
    counts[isRejected(image, level) === image.defective ? "correct" : "errors"][bin] += 1;
  }
  return counts;
}

/** Stack errors on correct verdicts in each bin; `edge` maps a bin to its left edge in px. */
function histogramBars({ correct, errors }, edge, base, name) {
  const highest = Math.max(1, ...correct.map((count, bin) => count + errors[bin]));
  const unit = (HISTOGRAM_ROW - 26) / highest;
  return correct.map((_, bin) => {
    const left = edge(bin) + 0.5;
    const width = edge(bin + 1) - left - 0.5;
    const correctHeight = correct[bin] * unit;
    const errorHeight = errors[bin] * unit;
    return (correctHeight ? rectangle(left, base - correctHeight, width, correctHeight, `${name} correct`) : "") +
      (errorHeight ? rectangle(left, base - correctHeight - errorHeight, width, errorHeight, name) : "");
  }).join("");
}

function rectangle(x, y, width, height, name) {
  return `<rect class="${name}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}"/>`;
}

/** Draw the ROC curve of [false-positive rate, true-positive rate] points; return what moves the operating point. */
function rocCurve(container, points) {
  const size = 260;
  const x = (rate) => 34 + rate * size;
  const y = (rate) => 8 + (1 - rate) * size;
  const path = points.map(([falsePositive, truePositive], index) => `${index ? "L" : "M"}${x(falsePositive)} ${y(truePositive)}`).join("");
  container.innerHTML =
    `<svg class="chart" viewBox="0 0 310 306" role="img" aria-label="ROC curve of the images">` +
    `<path class="axis" d="M${x(0)} ${y(1)}V${y(0)}H${x(1)}"/><path class="axis" d="M${x(0)} ${y(0)}L${x(1)} ${y(1)}"/>` +
    `<path class="series-1" d="${path}"/><circle class="operating-point" r="5"/>` +
    `<text x="${x(0.5)}" y="302" text-anchor="middle">share of good images rejected</text>` +
    `<text x="12" y="${y(0.5)}" text-anchor="middle" transform="rotate(-90 12 ${y(0.5)})">share of defective images rejected</text>` +
    [0, 1].map((tick) => `<text x="${x(tick)}" y="${y(0) + 16}" text-anchor="middle">${tick}</text>`).join("") +
    `<text x="${x(0) - 6}" y="${y(1) + 4}" text-anchor="end">1</text></svg>`;
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
  const x = (index) => 44 + (index / Math.max(1, epochs.length - 1)) * 256;
  const y = (loss) => 8 + ((high - Math.log(loss)) / (high - low)) * 250;
  const path = (losses) =>
    losses.map((loss, index) => (loss > 0 ? `${index ? "L" : "M"}${x(index)} ${y(loss)}` : "")).join("");
  container.innerHTML =
    `<svg class="chart" viewBox="0 0 310 306" role="img" aria-label="Loss by epoch, from ${largest.toPrecision(3)} to ${smallest.toPrecision(3)}">` +
    `<path class="axis" d="M44 8V258H300"/>` +
    `<path class="series-1" d="${path(training)}"/><path class="series-2" d="${path(heldOut)}"/>` +
    [smallest, largest].map((loss) => `<text x="38" y="${y(loss) + 4}" text-anchor="end">${loss.toPrecision(2)}</text>`).join("") +
    `<text x="44" y="276">1</text><text x="300" y="276" text-anchor="end">${epochs.length}</text>` +
    `<text x="172" y="302" text-anchor="middle">epoch</text>` +
    `<text class="good" x="296" y="24" text-anchor="end">training images</text>` +
    (heldOut[0] ? `<text class="defective" x="296" y="42" text-anchor="end">held-out images</text>` : "") +
    "</svg>";
}

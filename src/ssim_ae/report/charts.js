// Charts as SVG: strings of what the numbers are, and functions that move what moves.

const SIDE = 8; // px, half the width of a slider's thumb: the chart above it has its axis

/** Good images above, defective ones below, on the slider's own axis; returns what redraws it at a limit. */
function histogram(place, images, low, high) {
  const bins = 56;
  let width;
  const x = (level) => SIDE + ((level - low) / (high - low)) * (width - 2 * SIDE);
  const at = (score) => Math.min(high, Math.max(low, levelOf(score)));
  const kinds = data.defective ? ["good", "defective"] : ["good"];
  const row = 92;
  const height = kinds.length * row + 22;
  const edge = (bin) => low + ((high - low) * bin) / bins;

  function draw(k) {
    width = place.clientWidth || 720;
    const bars = kinds.map((kind, index) => {
      const mine = images.filter((image) => image.defective === (kind === "defective"));
      const counts = { right: Array(bins).fill(0), wrong: Array(bins).fill(0) };
      for (const image of mine) {
        const bin = Math.min(bins - 1, Math.floor(((at(image.score) - low) / (high - low)) * bins));
        counts[called(image, k) === image.defective ? "right" : "wrong"][bin] += 1;
      }
      const highest = Math.max(1, ...counts.right.map((count, bin) => count + counts.wrong[bin]));
      const ground = (index + 1) * row;
      const unit = (row - 26) / highest;
      const marks = counts.right.flatMap((_, bin) => {
        const left = x(edge(bin)) + 0.5;
        const wide = x(edge(bin + 1)) - left - 0.5;
        const right = counts.right[bin] * unit;
        const wrong = counts.wrong[bin] * unit;
        return [
          right && rectangle(left, ground - right, wide, right, `${kind} right`),
          wrong && rectangle(left, ground - right - wrong, wide, wrong, kind),
        ].filter(Boolean);
      });
      const wrong = mine.filter((image) => called(image, k) !== image.defective).length;
      const told = kind === "good" ? `${wrong} called defective` : `${wrong} missed`;
      return (
        `<line class="axis" x1="0" x2="${width}" y1="${ground}" y2="${ground}"/>` +
        marks.join("") +
        `<text x="${SIDE}" y="${ground - row + 16}">${mine.length} ${kind}, ${told}</text>`
      );
    });
    const doublings = [0.125, 0.25, 0.5, 1, 2, 4, 8];
    const ticks = (high - low > 3 * data.steps ? doublings : [...doublings, 0.7, 0.85, 1.2, 1.4]).filter((tick) => at(tick) > low && at(tick) < high);
    const labels = ticks.map((tick) => `<text x="${x(at(tick))}" y="${height - 4}" text-anchor="middle">${tick}</text>`);
    const bottom = kinds.length * row;
    const lines =
      `<line class="own" x1="${x(OWN_LIMIT)}" x2="${x(OWN_LIMIT)}" y1="0" y2="${bottom}"/>` +
      `<line class="limit" id="limit-line" x1="${x(k)}" x2="${x(k)}" y1="0" y2="${bottom}"/>`;
    place.innerHTML =
      `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Histogram of scores">` +
      bars.join("") + lines + labels.join("") + "</svg>";
  }
  return draw;
}

/** The ROC curve of the images; returns what moves the point of the limit along it. */
function rocCurve(place, curve) {
  const size = 260;
  const x = (rate) => 34 + rate * size;
  const y = (rate) => 8 + (1 - rate) * size;
  const steps = curve.map(([wrong, right], index) => `${index ? "L" : "M"}${x(wrong)} ${y(right)}`).join("");
  place.innerHTML =
    `<svg class="chart" viewBox="0 0 310 306" role="img" aria-label="ROC curve of the images">` +
    `<path class="axis" d="M${x(0)} ${y(1)}V${y(0)}H${x(1)}"/><path class="axis" d="M${x(0)} ${y(0)}L${x(1)} ${y(1)}"/>` +
    `<path class="first" d="${steps}"/><circle class="point" r="5"/>` +
    `<text x="${x(0.5)}" y="302" text-anchor="middle">share of good images called defective</text>` +
    `<text x="12" y="${y(0.5)}" text-anchor="middle" transform="rotate(-90 12 ${y(0.5)})">share of defective ones found</text>` +
    [0, 1].map((tick) => `<text x="${x(tick)}" y="${y(0) + 16}" text-anchor="middle">${tick}</text>`).join("") +
    `<text x="${x(0) - 6}" y="${y(1) + 4}" text-anchor="end">1</text></svg>`;
  const point = place.querySelector(".point");
  return (wrong, right) => {
    point.setAttribute("cx", x(wrong));
    point.setAttribute("cy", y(right));
  };
}

/** Losses epoch by epoch, on a logarithmic axis. */
function lossCurves(place, epochs) {
  const series = [epochs.map((row) => row.loss), epochs.map((row) => row.held_out_loss)];
  const all = series.flat().filter((loss) => loss > 0);
  const low = Math.log(Math.min(...all)) - 0.05;
  const high = Math.log(Math.max(...all)) + 0.05;
  const x = (index) => 44 + (index / Math.max(1, epochs.length - 1)) * 256;
  const y = (loss) => 8 + ((high - Math.log(loss)) / (high - low)) * 250;
  const line = (losses) =>
    losses.map((loss, index) => (loss > 0 ? `${index ? "L" : "M"}${x(index)} ${y(loss)}` : "")).join("");
  const ticks = [Math.min(...all), Math.max(...all)];
  place.innerHTML =
    `<svg class="chart" viewBox="0 0 310 306" role="img" aria-label="Loss by epoch, from ${ticks[1].toPrecision(3)} to ${ticks[0].toPrecision(3)}">` +
    `<path class="axis" d="M44 8V258H300"/>` +
    `<path class="first" d="${line(series[0])}"/><path class="second" d="${line(series[1])}"/>` +
    ticks.map((loss) => `<text x="38" y="${y(loss) + 4}" text-anchor="end">${loss.toPrecision(2)}</text>`).join("") +
    `<text x="44" y="276">1</text><text x="300" y="276" text-anchor="end">${epochs.length}</text>` +
    `<text x="172" y="302" text-anchor="middle">epoch</text>` +
    `<text class="good" x="296" y="24" text-anchor="end">training</text>` +
    (series[1][0] ? `<text class="defective" x="296" y="42" text-anchor="end">held-out good images</text>` : "") +
    "</svg>";
}

function rectangle(x, y, width, height, name) {
  return `<rect class="${name}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}"/>`;
}

// Thresholds and their slider. A level is an index into data.level_thresholds.

const DEFAULT_LEVEL = data.level_thresholds.indexOf(1);
const SETTLED_AFTER = 400; // ms without a change

/** Return whether the score of an image is above the threshold of a level. */
function isRejected(image, level) {
  return image.score > data.level_thresholds[level];
}

/** Return the level of a score, which need not be an integer: levels are proportional to the logarithm. */
function levelOf(score) {
  return DEFAULT_LEVEL + data.steps_per_doubling * Math.log2(Math.max(score, 1e-9));
}

function thresholdText(level) {
  return level === DEFAULT_LEVEL ? "1.0 (default)" : data.level_thresholds[level].toFixed(3);
}

/**
 * Set up the slider for the levels from `low` to `high`, its text and its reset button.
 *
 * `onInput(level)` is called now and at each change, `onSettled(level)` when changes have stopped.
 */
function connectThresholdSlider(low, high, onInput, onSettled) {
  const slider = Object.assign($("threshold"), { min: low, max: high, value: DEFAULT_LEVEL });
  let timer;
  const update = () => {
    const level = Number(slider.value);
    const text = `threshold ${thresholdText(level)}`;
    slider.setAttribute("aria-valuetext", text);
    $("threshold-value").textContent = text;
    $("reset-threshold").hidden = level === DEFAULT_LEVEL;
    updateFilters(level);
    onInput(level);
    clearTimeout(timer);
    timer = setTimeout(() => onSettled(level), SETTLED_AFTER);
  };
  slider.addEventListener("input", update);
  $("reset-threshold").addEventListener("click", () => {
    slider.value = DEFAULT_LEVEL;
    update();
  });
  update();
}

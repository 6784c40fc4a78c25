// Thresholds and their sliders. A level is an index into data.level_thresholds.

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
 * Set up the sliders of the page and of the threshold bar for the levels from `low` to `high`.
 *
 * `onInput(level)` is called now and at each change, `onSettled(level)` when changes have stopped.
 */
function connectThresholdSliders(low, high, onInput, onSettled) {
  const sliders = [$("threshold"), $("bar-threshold")];
  let timer;
  const setLevel = (level) => {
    const text = `threshold ${thresholdText(level)}`;
    for (const slider of sliders) {
      slider.value = level;
      slider.setAttribute("aria-valuetext", text);
    }
    $("threshold-value").textContent = $("bar-threshold-value").textContent = text;
    $("reset-threshold").hidden = $("bar-reset-threshold").hidden = level === DEFAULT_LEVEL;
    updateFilters(level);
    onInput(level);
    clearTimeout(timer);
    timer = setTimeout(() => onSettled(level), SETTLED_AFTER);
  };
  for (const slider of sliders) {
    Object.assign(slider, { min: low, max: high });
    slider.addEventListener("input", () => setLevel(Number(slider.value)));
  }
  $("reset-threshold").addEventListener("click", () => setLevel(DEFAULT_LEVEL));
  $("bar-reset-threshold").addEventListener("click", () => {
    $("bar-threshold").focus(); // the button disappears
    setLevel(DEFAULT_LEVEL);
  });
  setLevel(DEFAULT_LEVEL);
  showBarWhileSliderIsAbove();
}

/** Show the threshold bar at the top of the window while the slider of the page is scrolled out above it. */
function showBarWhileSliderIsAbove() {
  const bar = $("threshold-bar");
  const isNotAbove = { rootMargin: "0px 0px 10000000px 0px" }; // what is below the window counts as in sight
  new IntersectionObserver((changes) => {
    bar.dataset.needed = !changes.at(-1).isIntersecting;
    bar.hidden = bar.dataset.needed !== "true" && !bar.closest("dialog");
  }, isNotAbove).observe($("threshold"));
}

/** Move the threshold bar into an open dialog, and back to the page once it is closed. */
function takeBarIntoDialog(dialog, place) {
  const bar = $("threshold-bar");
  const home = bar.parentElement;
  if (dialog.contains(bar)) return;
  place.append(bar);
  bar.hidden = false;
  dialog.addEventListener("close", () => {
    home.prepend(bar);
    bar.hidden = bar.dataset.needed !== "true";
  }, { once: true });
}

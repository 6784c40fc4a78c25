// Images in layers. A pixel of the layer `levels` is the number of thresholds that the anomaly map exceeds there; the
// SVG filters of the page turn it into a heatmap or an outline of the mask. Filters are needed because a script on a
// page that was opened from the disk must not read the pixels of an image.

const VIEWS = { original: "original", reconstruction: "reconstruction", heatmap: "heatmap", mask: "mask" }; // captions

/** Return the views of an image with these layers. Some methods have no reconstruction. */
function viewsOf(layers) {
  return Object.keys(VIEWS).filter((view) => view !== "reconstruction" || layers.reconstruction);
}

/** Set the tables of the SVG filters, so that all heatmaps and masks of the page show the threshold of a level. */
function updateFilters(level) {
  const codes = [...Array(256).keys()];
  const ramp = codes.map((code) => {
    const value = code ? data.level_thresholds[Math.min(code, data.level_thresholds.length) - 1] / data.level_thresholds[level] : 0;
    return Math.min(255, Math.floor(value * 127.5)); // the threshold is in the middle of the ramp
  });
  const tables = {
    red: ramp.map((index) => data.color_ramp[index][0]),
    green: ramp.map((index) => data.color_ramp[index][1]),
    blue: ramp.map((index) => data.color_ramp[index][2]),
    opacity: ramp.map((index) => (0.25 + (0.55 * index) / 255).toFixed(4)),
    mask: codes.map((code) => (code > level ? 1 : 0)),
  };
  for (const [name, table] of Object.entries(tables)) {
    for (const element of document.querySelectorAll(`[data-table=${name}]`)) {
      element.setAttribute("tableValues", table.join(" "));
    }
  }
}

/** Create an image of layers {original, reconstruction?, levels}, each a URL, that shows a view; see VIEWS. */
function layeredImage(layers, view) {
  const container = make("div", { className: "layered-image" });
  container.dataset.view = view;
  for (const [layer, url] of Object.entries(layers).filter(([, url]) => url)) {
    container.append(make("img", { className: layer, loading: "lazy", decoding: "async", alt: "", src: url }));
  }
  return container;
}

/** Show the radio buttons of these views alone; if another one is selected, select the mask. */
function showViews(selector, views) {
  for (const label of selector.querySelectorAll("label")) label.hidden = !views.includes(label.dataset.view);
  if (selector.querySelector("label[hidden] :checked")) selector.querySelector("[value=mask]").click();
}

/** Return radio buttons that call `onChange(view)`. `name` is the name of the group. */
function viewSelector(name, selected, onChange) {
  const radios = Object.entries(VIEWS).map(([view, caption]) => {
    const radio = make("input", { type: "radio", name, value: view, checked: view === selected });
    radio.addEventListener("change", () => onChange(view));
    const label = make("label", {}, radio, make("span", { textContent: caption }));
    label.dataset.view = view;
    return label;
  });
  return make("fieldset", {}, make("legend", { className: "visually-hidden", textContent: "View" }), ...radios);
}

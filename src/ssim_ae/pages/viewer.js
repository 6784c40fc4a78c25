// A zoomable image in layers: the camera's pixels, and over them what the detector computed for the view.

const MAX_SCALE = 32; // CSS px per pixel of the image
const ZOOM_STEP = 1.5; // of a button or key
const PIXELS_VISIBLE = 2; // CSS px per pixel of a layer, from which its pixels are drawn as squares
const PAN_STEP = 0.1; // of the window, per key
const LOAD_DELAY = 200; // ms before the original is loaded, so that flipping through images stays fast

/** Return the box {x, y, width, height} of an image, in its pixels, that the view covers. */
function inspectedBox({ width, height, view }) {
  const [[top, shownHeight], [left, shownWidth]] = [height, width].map((length, axis) => {
    const [size, resized] = [view.size[axis], view.resized[axis]];
    return [(Math.floor((resized - size) / 2) / resized) * length, (size / resized) * length];
  });
  return { x: left, y: top, width: shownWidth, height: shownHeight };
}

/**
 * Create a viewer: `element` to insert, `show(image)` and `focus()`.
 *
 * An image is {name, width, height, view: {size, resized}, layers, loadOriginal()}. `loadOriginal` returns a promise
 * of the URL of the picture at the image's own size, or null. Until it is there, the viewer shows `layers.original`.
 * `size` and `resized` are [height, width].
 * With `wheelZooms` the wheel zooms; without, only together with Ctrl, as a pinch on a touchpad does.
 */
function createViewer({ wheelZooms, extraControls = [] }) {
  const layers = Object.fromEntries(["original", "reconstruction", "levels", "regions"].map((name) => [name, make("img", { alt: "" })]));
  const stage = make("div", { className: "stage", tabIndex: 0 },
    ...Object.entries(layers).map(([name, img]) => make("div", { className: `layer ${name}` }, img)));
  stage.setAttribute("role", "group");
  stage.dataset.view = "mask";
  const zoomText = make("output", { className: "zoom-text" });
  const note = make("p", { className: "muted" });
  const state = { image: null, url: null, scale: 1, x: 0, y: 0, isFitted: true };

  const fitScale = () => Math.min(stage.clientWidth / state.image.width, stage.clientHeight / state.image.height);
  const centered = (offset, room, length) => (length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, offset)));

  function place(img, { x, y, width, height }) {
    Object.assign(img.style, {
      width: `${width}px`,
      height: `${height}px`,
      transform: `translate(${state.x + x * state.scale}px, ${state.y + y * state.scale}px) scale(${state.scale})`,
    });
    const pixel = (width * state.scale) / (img.naturalWidth || width); // CSS px
    img.classList.toggle("pixels", pixel >= (img === layers.levels || img === layers.regions ? 1 : PIXELS_VISIBLE));
  }

  function draw() {
    if (!state.image || !stage.clientWidth) return;
    const { width, height } = state.image;
    if (state.isFitted) state.scale = fitScale();
    state.x = centered(state.x, stage.clientWidth, width * state.scale);
    state.y = centered(state.y, stage.clientHeight, height * state.scale);
    const box = inspectedBox(state.image);
    place(layers.original, state.url ? { x: 0, y: 0, width, height } : box);
    place(layers.reconstruction, box);
    place(layers.levels, box);
    place(layers.regions, box);
    stage.classList.toggle("zoomed", !state.isFitted);
    const percentage = 100 * state.scale;
    zoomText.textContent = `${percentage.toFixed(percentage < 10 ? 1 : 0)} %`;
    stage.setAttribute("aria-label", `${state.image.name}: ${VIEWS[stage.dataset.view]}; plus, minus and 0 zoom, arrow keys move`);
  }

  /** Change the scale such that the point (x, y) of the stage stays where it is. */
  function zoomTo(scale, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const smallest = fitScale();
    const next = Math.min(Math.max(scale, smallest), Math.max(MAX_SCALE, smallest));
    state.x = x - ((x - state.x) * next) / state.scale;
    state.y = y - ((y - state.y) * next) / state.scale;
    state.scale = next;
    state.isFitted = next === smallest;
    draw();
  }

  function move(x, y) {
    state.x += x;
    state.y += y;
    draw();
  }

  function describeResolution() {
    const { width, height, view } = state.image;
    const { naturalWidth, naturalHeight } = layers.original;
    if (!state.url) note.textContent = `${width} × ${height} px, shown at the working size of ${view.resized[1]} × ${view.resized[0]} px`;
    else if (naturalWidth && naturalWidth < width) {
      note.textContent = `${width} × ${height} px, shown reduced to ${naturalWidth} × ${naturalHeight} px`;
    } else note.textContent = `${width} × ${height} px`;
  }

  /** Show the picture at a URL as the original, or the one at the working resolution if `url` is null. */
  function setOriginal(url) {
    URL.revokeObjectURL(state.url); // no effect on other URLs
    state.url = url;
    layers.original.src = url ?? state.image.layers.original;
    draw();
    describeResolution();
  }

  function show(image) {
    if (state.image !== image) state.isFitted = true;
    state.image = image;
    if (image.layers.reconstruction) layers.reconstruction.src = image.layers.reconstruction;
    else layers.reconstruction.removeAttribute("src");
    showViews(controls, viewsOf(image.layers));
    layers.levels.src = image.layers.levels;
    regionsChoice.hidden = !image.layers.regions;
    if (image.layers.regions) {
      layers.regions.src = image.layers.regions;
      stage.append(regionsLayer);
    } else regionsLayer.remove();
    stage.style.setProperty("--aspect-ratio", image.width / image.height);
    setOriginal(null);
    setTimeout(async () => {
      const url = state.image === image ? await image.loadOriginal() : null;
      if (url && state.image === image) setOriginal(url);
      else URL.revokeObjectURL(url);
    }, LOAD_DELAY);
  }

  layers.original.addEventListener("load", () => {
    draw();
    describeResolution();
  });
  layers.levels.addEventListener("load", draw);
  layers.original.addEventListener("error", () => state.url && setOriginal(null));
  new ResizeObserver(draw).observe(stage);
  listenForZoom(stage, { state, zoomTo, move, fitScale, wheelZooms });

  const button = (text, label, onClick) => {
    const created = make("button", { type: "button", textContent: text, ariaLabel: label, title: label });
    created.addEventListener("click", onClick);
    return created;
  };
  const regionsShown = make("input", { type: "checkbox" });
  regionsShown.addEventListener("change", () => stage.classList.toggle("with-regions", regionsShown.checked));
  const regionsLayer = layers.regions.parentElement;
  const regionsChoice = make("label", { hidden: true, title: "gray: ignored; yellow: another sensitivity" }, regionsShown, " regions");
  const controls = make("div", { className: "controls" },
    viewSelector("viewer-view", "mask", (view) => {
      stage.dataset.view = view;
      draw();
    }),
    make("div", { className: "zoom" },
      button("−", "zoom out", () => zoomTo(state.scale / ZOOM_STEP)), zoomText,
      button("+", "zoom in", () => zoomTo(state.scale * ZOOM_STEP)),
      button("1:1", "actual pixels", () => zoomTo(1)),
      button("Fit", "whole image", () => zoomTo(0))),
    regionsChoice, ...extraControls);
  return { element: make("div", { className: "viewer" }, controls, stage, note), show, focus: () => stage.focus() };
}

/** Zoom and move with the wheel, pointers and keys. */
function listenForZoom(stage, { state, zoomTo, move, fitScale, wheelZooms }) {
  const pointers = new Map();
  const position = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  stage.addEventListener("wheel", (event) => {
    if (!wheelZooms && !event.ctrlKey) return;
    event.preventDefault();
    const { x, y } = position(event);
    zoomTo(state.scale * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), x, y);
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => {
    const { x, y } = position(event);
    zoomTo(state.isFitted ? Math.max(1, 2 * fitScale()) : 0, x, y);
  });
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, position(event));
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = position(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (!other) return move(now.x - before.x, now.y - before.y);
    const distance = ({ x, y }) => Math.max(1, Math.hypot(x - other.x, y - other.y));
    zoomTo((state.scale * distance(now)) / distance(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    move((now.x - before.x) / 2, (now.y - before.y) / 2);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  stage.addEventListener("keydown", (event) => {
    const step = PAN_STEP * stage.clientWidth;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoomTo(state.scale * ZOOM_STEP);
    else if (event.key === "-") zoomTo(state.scale / ZOOM_STEP);
    else if (event.key === "0") zoomTo(0);
    else if (event.key in moves && !state.isFitted) move(...moves[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

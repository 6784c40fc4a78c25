// Gallery of images with their verdicts.

const MAX_RATIO = 3; // of the sides of a thumbnail: longer images are shown compressed, to stay visible

/**
 * Create the card of an image {name, score, width, height, layers, small, defective?}.
 *
 * The horizontal position of the mouse pointer over a card selects the view; a click calls `open`.
 */
function galleryCard(image, state, open) {
  const views = viewsOf(image.layers);
  const marks = views.map(() => make("i"));
  const shown = layeredImage({ ...image.layers, original: image.small, regions: null }, state.view);
  const ratio = Math.min(MAX_RATIO, Math.max(1 / MAX_RATIO, image.width / image.height));
  shown.style.aspectRatio = ratio;
  shown.style.width = `${100 * Math.min(1, ratio)}%`;
  const verdict = make("span");
  const button = make("button", { type: "button" },
    make("div", { className: "card-header" }, make("span", { textContent: image.name, title: image.name })),
    make("div", { className: "card-frame" }, shown),
    make("div", { className: "view-indicator" }, ...marks),
    make("div", { className: "card-footer" }, verdict, make("span", { textContent: image.score.toFixed(2) })));
  const setView = (view) => {
    shown.dataset.view = views.includes(view) ? view : "original";
    marks.forEach((mark, index) => mark.classList.toggle("current", views[index] === shown.dataset.view));
  };
  setView(state.view);
  button.addEventListener("click", open);
  button.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const box = button.getBoundingClientRect();
    const part = Math.floor((views.length * (event.clientX - box.left)) / box.width);
    setView(views[Math.min(views.length - 1, Math.max(0, part))]);
  });
  button.addEventListener("pointerleave", () => setView(state.view));
  return { image, item: make("li", {}, button), button, setView, verdict, nok: null };
}

/** Show the verdict at a level on a card. Does nothing if it has not changed. */
function updateVerdict(card, level) {
  const { name, score, defective } = card.image;
  const nok = isRejected(card.image, level);
  if (card.nok === nok) return;
  card.nok = nok;
  const wrong = defective !== undefined && nok !== defective;
  card.item.classList.toggle("error", wrong);
  showVerdictBadge(card.verdict, nok, wrong);
  card.button.setAttribute("aria-label", `${name}, score ${score.toFixed(2)}, ${card.verdict.textContent}`);
}

/** Show a verdict by text, symbol and color. */
function showVerdictBadge(element, nok, wrong) {
  element.className = `badge ${nok ? "nok" : "ok"}${wrong ? " wrong" : ""}`;
  element.textContent = (nok ? "nok" : "ok") + (wrong ? (nok ? ", false alarm" : ", missed") : "");
}

/** Add radio buttons to `parent` that select the view of all cards. Returns a function to call for more cards. */
function addGalleryViewSelector(parent, state, cards) {
  const selector = viewSelector("view", state.view, (view) => {
    state.view = view;
    for (const card of cards) card.setView(view);
  });
  const update = () => showViews(selector, cards.flatMap((card) => viewsOf(card.image.layers)));
  if (cards.length) update();
  parent.append(selector);
  return update;
}

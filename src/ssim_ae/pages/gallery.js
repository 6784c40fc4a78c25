// Gallery of images with their verdicts.

/**
 * Create the card of an image {name, score, layers, small, defective?}.
 *
 * The horizontal position of the mouse pointer over a card selects the view; a click calls `open`.
 */
function galleryCard(image, state, open) {
  const shown = layeredImage({ ...image.layers, original: image.small }, state.view, "");
  const verdict = make("span");
  const button = make("button", { type: "button" },
    make("div", { className: "card-header" }, make("span", { textContent: image.name, title: image.name })),
    shown, make("div", { className: "view-indicator" }, ...Object.keys(VIEWS).map(() => make("i"))),
    make("div", { className: "card-footer" }, verdict, make("span", { textContent: image.score.toFixed(2) })));
  button.addEventListener("click", open);
  button.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const box = button.getBoundingClientRect();
    const part = Math.floor((4 * (event.clientX - box.left)) / box.width);
    shown.dataset.view = Object.keys(VIEWS)[Math.min(3, Math.max(0, part))];
  });
  button.addEventListener("pointerleave", () => (shown.dataset.view = state.view));
  return { image, item: make("li", {}, button), button, shown, verdict, nok: null };
}

/** Show the verdict at a level on a card. Does nothing if it has not changed. */
function updateVerdict(card, level) {
  const { name, score, defective } = card.image;
  const nok = isRejected(card.image, level);
  if (card.nok === nok) return;
  card.nok = nok;
  const wrong = defective !== undefined && nok !== defective;
  card.item.classList.toggle("error", wrong);
  card.verdict.textContent = (nok ? "nok" : "ok") + (wrong ? (nok ? ", false alarm" : ", missed") : "");
  card.button.setAttribute("aria-label", `${name}, score ${score.toFixed(2)}, ${card.verdict.textContent}`);
}

/** Add radio buttons to `parent` that select the view of all cards. */
function addViewSelector(parent, state, cards) {
  parent.append(...Object.entries(VIEWS).map(([view, caption]) => {
    const radio = make("input", { type: "radio", name: "view", value: view, checked: view === state.view });
    radio.addEventListener("change", () => {
      state.view = view;
      for (const { shown } of cards) shown.dataset.view = view;
    });
    return make("label", {}, radio, make("span", { textContent: caption }));
  }));
}

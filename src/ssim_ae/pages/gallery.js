// Images in a gallery, and one of them closer.

/** An image {name, score, layers, small, defective?}: moving over it shows its views, a click calls `open`. */
function card(image, state, open) {
  const shown = picture({ ...image.layers, original: image.small }, state.view, "");
  const verdict = make("span");
  const button = make("button", { type: "button" },
    make("div", { className: "name" }, make("span", { textContent: image.name, title: image.name })),
    shown, make("div", { className: "scrub" }, ...Object.keys(VIEWS).map(() => make("i"))),
    make("div", { className: "told" }, verdict, make("span", { textContent: image.score.toFixed(2) })));
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

/** Write the verdict at limit number k on a card, if it is other than before. */
function judge(card, k) {
  const { name, score, defective } = card.image;
  const nok = called(card.image, k);
  if (card.nok === nok) return;
  card.nok = nok;
  const wrong = defective !== undefined && nok !== defective;
  card.item.classList.toggle("wrong", wrong);
  card.verdict.textContent = (nok ? "nok" : "ok") + (wrong ? (nok ? ", false alarm" : ", missed") : "");
  card.button.setAttribute("aria-label", `${name}, score ${score.toFixed(2)}, ${card.verdict.textContent}`);
}

/** Whether an image is called defective at limit number k. */
function called(image, k) {
  return image.score > data.limits[k];
}

/** The four views of an image side by side. */
function allViews(image) {
  return Object.entries(VIEWS).map(([view, caption]) =>
    make("figure", {}, picture(image.layers, view, `${image.name}: ${caption}`), make("figcaption", { textContent: caption })));
}

/** Choose what the pictures of all cards show. */
function viewChoice(place, state, cards) {
  place.append(...Object.entries(VIEWS).map(([view, caption]) => {
    const radio = make("input", { type: "radio", name: "view", value: view, checked: view === state.view });
    radio.addEventListener("change", () => {
      state.view = view;
      for (const { shown } of cards) shown.dataset.view = view;
    });
    return make("label", {}, radio, make("span", { textContent: caption }));
  }));
}

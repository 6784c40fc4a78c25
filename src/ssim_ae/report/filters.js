// Which images the gallery shows, and in which order.

const state = { level: DEFAULT_LEVEL, view: "mask", visible: [] };

const VERDICT_FILTERS = {
  "all images": () => true,
  errors: (card) => card.nok !== card.image.defective,
  missed: (card) => !card.nok && card.image.defective,
  "false alarms": (card) => card.nok && !card.image.defective,
  rejected: (card) => card.nok,
  accepted: (card) => !card.nok,
};
const FILTERS_WITH_DEFECTS = ["errors", "missed", "false alarms"];
const ALL_VERDICTS = "all images";
const ALL_TYPES = "all types";
const ORDERS = {
  "highest score": (a, b) => b.image.score - a.image.score,
  "lowest score": (a, b) => a.image.score - b.image.score,
  "distance to the threshold": byDistance,
  name: (a, b) => a.image.index - b.image.index,
};

function byDistance(a, b) {
  const distance = (card) => Math.abs(levelOf(card.image.score) - state.level);
  return distance(a) - distance(b);
}

function sortCards(cards) {
  cards.sort(ORDERS[$("order").value]);
  $("gallery").replaceChildren(...cards.map((card) => card.item));
  filterCards(cards);
}

function filterCards(cards) {
  const matches = VERDICT_FILTERS[$("verdict-filter").value];
  const type = $("defect-type").value;
  state.visible = [];
  for (const card of cards) {
    const visible = matches(card) && (type === ALL_TYPES || card.image.defect_type === type);
    if (card.item.hidden === visible) card.item.hidden = !visible;
    if (visible) state.visible.push(card.image);
  }
  const count = `${state.visible.length} of ${images.length} images${data.how_shown && " shown"}`;
  if ($("count").textContent !== count) $("count").textContent = count; // screen readers announce each assignment
  $("empty").hidden = state.visible.length > 0;
  const conditions = [
    ...($("verdict-filter").value === ALL_VERDICTS ? [] : [$("verdict-filter").value]),
    ...(type === ALL_TYPES ? [] : [`defect type ${type}`]),
  ];
  $("empty-reason").textContent = `No image matches: ${conditions.join(", ")}.`;
}

/** Show the images with a verdict, of all types. */
function filterByVerdict(verdict, cards) {
  $("verdict-filter").value = verdict;
  $("defect-type").value = ALL_TYPES;
  filterCards(cards);
}

function setOptions(id, names) {
  $(id).replaceChildren(...names.map((name) => make("option", { textContent: name, value: name })));
}

function setFilterOptions() {
  setOptions("defect-type", [ALL_TYPES, ...new Set(images.map((image) => image.defect_type))]);
  setOptions("verdict-filter", Object.keys(VERDICT_FILTERS).filter((name) => data.has_defective || !FILTERS_WITH_DEFECTS.includes(name)));
  setOptions("order", Object.keys(ORDERS));
  $("defect-type").parentElement.hidden = !data.has_defective;
}

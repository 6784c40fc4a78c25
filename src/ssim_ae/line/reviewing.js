// Reviews: of the entry that is shown, or of several that were chosen.

const MAX_REVIEWED = 500; // images in one request

function showReview(row, { review }) {
  row.querySelector(".reviewed").textContent = review ?? "";
}

/** Show who has said what of an entry. */
async function showReviews(entry) {
  $("entry-reviews").textContent = "";
  const reviews = await callApi(`/v1/log/${entry.id}/reviews`);
  if (state.entries[state.selected] !== entry || !reviews.length) return;
  const { verdict, reviewer, time, box } = reviews[0];
  const by = reviewer ? ` by ${reviewer}` : "";
  $("entry-reviews").textContent = `${verdict}${by}, ${new Date(time).toLocaleString()}`;
  if (verdict === "defective" && box) mark(box);
}

/** Store a review of entries: good, defective or null for none. */
async function store(entries, review, box = null) {
  for (let start = 0; start < entries.length; start += MAX_REVIEWED) {
    const part = entries.slice(start, start + MAX_REVIEWED);
    const content = { inspections: part.map(({ id }) => id), verdict: review ?? "withdrawn", box };
    const headers = { "Content-Type": "application/json" };
    await fetchApi("/v1/reviews", { method: "POST", body: JSON.stringify(content), headers });
    for (const entry of part) {
      entry.review = review;
      const index = state.entries.indexOf(entry);
      if (index >= 0) showReview($("entries").children[index], entry);
    }
  }
  showReviewButtons();
  guarded(showVersions);
}

function showReviewButtons() {
  const entry = state.entries[state.selected];
  for (const verdict of ["good", "defective"]) $(verdict).setAttribute("aria-pressed", entry?.review === verdict);
  $("undo").disabled = !state.undo.length;
}

/** Review the chosen entries, or the one that is shown, and go on to the next. */
async function review(verdict) {
  const isOne = !state.chosen.size;
  const entries = isOne ? [state.entries[state.selected]].filter(Boolean) : [...state.chosen];
  if (!entries.length) return;
  const former = entries.map((entry) => ({ entry, review: entry.review }));
  const box = isOne && verdict === "defective" ? marking.box : null;
  const moved = isOne ? move(1) : null; // before the answer: another key is meant for what is seen then
  try {
    await store(entries, verdict, box);
  } catch (error) {
    if (isOne) await select(state.entries.indexOf(entries[0]));
    throw error;
  }
  state.undo.push(former);
  showReviewButtons();
  $("status").textContent = `${nameOf(entries)}: reviewed as ${verdict}`;
  if (isOne) await moved;
  else clearChosen();
}

async function undo() {
  const last = state.undo.pop();
  if (!last) return;
  for (const verdict of ["good", "defective", null]) {
    const entries = last.filter(({ review }) => review === verdict).map(({ entry }) => entry);
    if (entries.length) await store(entries, verdict);
  }
  const { entry, review } = last[0];
  const now = last.length > 1 ? "as before" : review ? `reviewed as ${review}` : "not reviewed";
  $("status").textContent = `${nameOf(last.map((item) => item.entry))}: ${now}`;
  const index = state.entries.indexOf(entry);
  if (index >= 0 && last.length === 1) await select(index);
}

function nameOf(entries) {
  return entries.length > 1 ? counted(entries.length, "image") : entries[0].name || "image";
}

// Several entries

/** Return the box that chooses an entry; with Shift, all from the last one on. */
function chooser(entry, index) {
  const box = make("input", { type: "checkbox", ariaLabel: `Choose ${entry.name || "image"}` });
  box.addEventListener("click", (event) => {
    const first = event.shiftKey && state.lastChosen !== undefined ? state.lastChosen : index;
    for (let other = Math.min(first, index); other <= Math.max(first, index); other++) choose(other, box.checked);
    state.lastChosen = index;
    showChosen();
  });
  return make("label", { className: "choose" }, box);
}

function choose(index, isChosen) {
  state.chosen[isChosen ? "add" : "delete"](state.entries[index]);
}

function chooseSelected() {
  const entry = state.entries[state.selected];
  if (!entry) return;
  choose(state.selected, !state.chosen.has(entry));
  showChosen();
}

function clearChosen() {
  state.chosen.clear();
  showChosen();
}

function showChosen() {
  const boxes = [...$("entries").querySelectorAll(".choose input")];
  boxes.forEach((box, index) => (box.checked = state.chosen.has(state.entries[index])));
  const number = state.chosen.size;
  $("choose-all-label").hidden = !boxes.length;
  Object.assign($("choose-all"), { checked: number > 0 && number === boxes.length, indeterminate: number > 0 && number < boxes.length });
  $("chosen").hidden = !number;
  $("chosen-count").textContent = `${counted(number, "image")} chosen`;
}

function listenForReviews() {
  for (const verdict of ["good", "defective"]) {
    for (const id of [verdict, `chosen-${verdict}`]) $(id).addEventListener("click", () => guarded(() => review(verdict)));
  }
  $("undo").addEventListener("click", () => guarded(undo));
  $("clear-chosen").addEventListener("click", clearChosen);
  $("choose-all").addEventListener("change", () => {
    state.entries.forEach((_, index) => choose(index, $("choose-all").checked));
    showChosen();
  });
}

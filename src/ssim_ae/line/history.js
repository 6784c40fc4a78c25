// The page History: the inspections of a log, filtered; the filters are in the URL.

const PAGE_SIZE = 50;
const THUMBNAIL_SIDE = 160; // px
const SHOWN_SIDE = 1600; // px of a selected image
const HOUR_MS = 3_600_000;
const FILTERS = ["day", "verdict", "review", "detector", "min_score", "max_score"];

const state = {
  hour: null, // of the day: only its inspections are listed
  entries: [],
  selected: -1, // index of the entry that is shown
  cursor: null, // of the next, older entries
  chosen: new Set(), // entries that are reviewed together
  undo: [], // what was said before each of the last reviews: a list of {entry, review} for each
  load: 0, // number of the latest request: the responses of earlier ones are dropped
};

// Filters

function readUrl() {
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) $(name).value = query.get(name) ?? "";
  const hour = Number(query.get("hour") ?? NaN);
  state.hour = $("day").value && hour >= 0 && hour < 24 ? Math.floor(hour) : null;
}

function writeUrl() {
  const given = FILTERS.map((name) => [name, $(name).value]).filter(([name, value]) => value || name === "day");
  if (state.hour !== null) given.push(["hour", state.hour]);
  history.replaceState(null, "", `?${new URLSearchParams(given)}`);
}

/** Return midnight of the chosen day in the browser's time zone, or null. */
function startOfDay() {
  const [year, month, day] = $("day").value.split("-").map(Number);
  return day ? new Date(year, month - 1, day) : null;
}

function dayText(moment) {
  const two = (number) => String(number).padStart(2, "0");
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
}

/** Return the query of the filters; `withHour` limits it to the chosen hour. */
function filterQuery(withHour) {
  const query = new URLSearchParams();
  for (const name of FILTERS.slice(1)) if ($(name).value) query.set(name, $(name).value);
  const start = startOfDay();
  if (start) {
    const next = new Date(start);
    next.setDate(next.getDate() + 1); // a day may have 23 or 25 hours
    const hour = withHour && state.hour !== null ? state.hour : null;
    query.set("since", (hour === null ? start : new Date(start.getTime() + hour * HOUR_MS)).toISOString());
    query.set("until", (hour === null ? next : new Date(start.getTime() + (hour + 1) * HOUR_MS)).toISOString());
  }
  return query;
}

// The day

async function showDay() {
  const start = startOfDay();
  $("day-section").hidden = !start;
  if (!start) return;
  const hours = await callApi(`/v1/log/hours?${filterQuery(false)}`);
  const byHour = new Map(hours.map((hour) => [(new Date(hour.start) - start) / HOUR_MS, hour]));
  const highest = Math.max(1, ...hours.map(({ ok, nok, error }) => ok + nok + error));
  const sum = (verdict) => hours.reduce((total, hour) => total + hour[verdict], 0);
  const errors = sum("error") ? `, ${sum("error")} not inspected` : "";
  $("day-title").textContent = `${$("day").value}: ${sum("ok")} ok, ${sum("nok")} nok${errors}`;
  const numbers = Array.from({ length: Math.max(24, ...[...byHour.keys()].map((hour) => hour + 1)) }, (_, hour) => hour);
  $("hours").replaceChildren(...numbers.map((hour) => hourBar(start, hour, byHour.get(hour), highest)));
}

function hourBar(start, hour, counts = { ok: 0, nok: 0, error: 0 }, highest) {
  const clock = new Date(start.getTime() + hour * HOUR_MS).getHours();
  const bars = ["error", "nok", "ok"].map((verdict) => {
    const bar = make("i", { className: verdict });
    bar.style.height = `${(100 * counts[verdict]) / highest}%`;
    if (counts[verdict]) bar.style.minHeight = "2px";
    return bar;
  });
  const label = `${clock}:00, ${counts.ok} ok, ${counts.nok} nok, ${counts.error} not inspected`;
  const button = make("button", { type: "button", title: label, ariaLabel: label }, ...bars);
  button.setAttribute("aria-pressed", hour === state.hour);
  button.addEventListener("click", () => {
    state.hour = state.hour === hour ? null : hour;
    refresh();
  });
  return make("li", {}, button, make("span", { textContent: clock, ariaHidden: "true" }));
}

// The list

async function showEntries(load) {
  const query = filterQuery(true);
  query.set("limit", PAGE_SIZE);
  if (state.cursor) query.set("cursor", state.cursor);
  const { entries, next } = await callApi(`/v1/log?${query}`);
  if (load !== state.load) return;
  state.cursor = next;
  for (const entry of entries) $("entries").append(entryRow(entry, state.entries.push(entry) - 1));
  $("older").hidden = !next;
  $("status").textContent = state.entries.length ? "" : "no inspections";
  showChosen();
}

function entryRow(entry, index) {
  const time = make("span", { className: "time", textContent: timeText(entry) });
  const review = make("small", { className: "reviewed" });
  const name = make("span", { className: "name", title: entry.name }, make("span", { textContent: entry.name || "image" }), review);
  const verdict = make("span");
  showEntryVerdict(verdict, entry);
  const score = make("span", { className: "score", textContent: entry.score === null ? "" : entry.score.toFixed(2) });
  const frame = make("span");
  if (entry.image_file) thumbnails.observe(Object.assign(frame, { entry }));
  const button = make("button", { type: "button" }, frame, time, name, verdict, score);
  button.addEventListener("click", () => select(index));
  const row = make("li", {}, make("div", { className: "row" }, chooser(entry, index), button));
  showReview(row, entry);
  return row;
}

function timeText({ time }) {
  const moment = new Date(time);
  const clock = moment.toTimeString().slice(0, 8);
  return $("day").value ? clock : `${dayText(moment)} ${clock}`;
}

function showEntryVerdict(element, { verdict }) {
  element.className = `badge ${verdict}`;
  element.textContent = verdict;
}

const thumbnails = new IntersectionObserver((changes) => {
  for (const { isIntersecting, target } of changes) {
    if (!isIntersecting) continue;
    thumbnails.unobserve(target);
    loadedImage(target.entry, THUMBNAIL_SIDE).then((image) => image && target.append(image));
  }
});

/** Return the kept image of an entry, or null if it was removed meanwhile. */
async function loadedImage({ id }, side) {
  try {
    const image = make("img", { src: await imageUrl(`/v1/log/${id}/image?side=${side}`), alt: "" });
    await image.decode();
    URL.revokeObjectURL(image.src);
    return image;
  } catch {
    return null;
  }
}

// The selected entry

const entryPanel = $("entry");

async function select(index) {
  if (index < 0 || index >= state.entries.length) return;
  const buttons = [...$("entries").querySelectorAll(".row > button")];
  buttons[state.selected]?.removeAttribute("aria-current");
  state.selected = index;
  buttons[index].setAttribute("aria-current", "true");
  const entry = state.entries[index];
  entryPanel.hidden = false;
  $("entries").children[index].append(entryPanel); // below its row, wherever the list is scrolled to
  $("entry-name").textContent = entry.name || "image";
  showEntryVerdict($("entry-verdict"), entry);
  $("entry-details").textContent = detailsOf(entry);
  showReviewButtons();
  startMarking(entry);
  $("entry-image").replaceChildren();
  const [image] = await Promise.all([entry.image_file && loadedImage(entry, SHOWN_SIDE), showReviews(entry)]);
  if (!image || state.entries[state.selected] !== entry) return;
  $("entry-image").replaceChildren(image, ...entry.defects.map((box) => outline(box, entry)));
  showMark();
}

async function move(step) {
  await select(state.selected + step);
  $("entries").children[state.selected]?.scrollIntoView({ block: "nearest" });
}

function detailsOf(entry) {
  if (entry.error) return `${new Date(entry.time).toLocaleString()}; ${entry.error}`;
  const version = entry.version ? `, version ${entry.version}` : "";
  const kept = entry.image_file ? "" : "; the image is not kept";
  return (
    `score ${entry.score.toFixed(4)}, threshold ${entry.threshold.toFixed(3)}, ${counted(entry.defects.length, "defect")}; ` +
    `${entry.width} × ${entry.height} px, ${entry.detector}${version}, ${entry.station}, ` +
    `${new Date(entry.time).toLocaleString()}${kept}`
  );
}

function outline({ x, y, width, height }, entry) {
  const box = make("i");
  const share = (length, whole) => `${(100 * length) / whole}%`;
  Object.assign(box.style, {
    left: share(x, entry.width),
    top: share(y, entry.height),
    width: share(width, entry.width),
    height: share(height, entry.height),
  });
  return box;
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  g: () => review("good"),
  d: () => review("defective"),
  u: undo,
  x: chooseSelected,
  b: toggleMarking,
  Escape: dropMark,
};

function listenForKeys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox]), select")) return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    guarded(action);
  });
}

// Start

/** Load day and list again. */
async function refresh() {
  writeUrl();
  const load = (state.load += 1);
  Object.assign(state, { entries: [], selected: -1, cursor: null, chosen: new Set() });
  $("entries").replaceChildren();
  entryPanel.hidden = true;
  $("entries").after(entryPanel);
  await guarded(() => Promise.all([showDay(), showEntries(load)]));
}

async function guarded(action) {
  try {
    await action();
  } catch (error) {
    $("status").textContent = error.message;
  }
}

async function start() {
  await guarded(async () => {
    const names = await callApi("/v1/log/detectors");
    $("token-form").hidden = true;
    $("detector").append(...names.map((name) => make("option", { textContent: name, value: name })));
    $("detector-choice").hidden = names.length < 2;
    readUrl();
    if (!location.search) {
      const { entries } = await callApi("/v1/log?limit=1");
      if (entries.length) $("day").value = dayText(new Date(entries[0].time));
    }
    await Promise.all([refresh(), showVersions(), showDrift()]);
    if (data.has_sinks) followSinks();
  });
}

$("filters").addEventListener("change", (event) => {
  if (event.target === $("day")) state.hour = null;
  refresh();
});
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("reset", () => {
  state.hour = null;
  setTimeout(refresh); // once the fields are empty
});
$("older").addEventListener("click", () => guarded(() => showEntries(state.load)));
listenForReviews();
listenForMarks();
listenForToken(start);
listenForKeys();
start();

// The inspection page: images go to the server, what it found comes back, and the limit moves here.

const AT_ONCE = 2; // requests in flight
const REMEMBERED = 200; // images shown
const FAILURES = 20; // lines about others
const state = { k: DEFAULT_LEVEL, view: "mask", cards: [], shown: null, waiting: [], running: 0, watched: 0, sent: 0, done: 0 };

/** Ask the server. An error says why in a line. */
async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers }).catch(() => {
    throw new Error("the server does not answer");
  });
  if (response.status === 401) $("asks").hidden = false;
  const answer = await response.json().catch(() => ({ detail: `status ${response.status}` }));
  if (!response.ok) throw Object.assign(new Error(answer.detail), { status: response.status });
  return answer;
}

// In

function send(files) {
  for (const file of files) state.waiting.push(file);
  state.sent += files.length;
  work();
}

function work() {
  while (state.running < AT_ONCE && state.waiting.length) {
    state.running += 1;
    inspect(state.waiting.shift()).finally(() => {
      state.running -= 1;
      state.done += 1;
      if (state.done < state.sent) say(`${state.done} of ${state.sent}`);
      else state.sent = state.done = 0;
      work();
    });
  }
}

async function inspect(file) {
  const form = new FormData();
  form.append("image", file, file.name || "pasted.png");
  const query = new URLSearchParams({ detector: $("detector").value });
  for (const name of ["inspected", "reconstruction", "levels"]) query.append("pictures", name);
  try {
    show(await patiently(() => ask(`/v1/inspect?${query}`, { method: "POST", body: form })), file.name);
  } catch (error) {
    fail(error.message.startsWith(file.name) ? error.message : `${file.name}: ${error.message}`);
  }
}

/** Try again while the server has no room. */
async function patiently(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (error.status !== 429) throw error;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

/** Keep a line about an image that could not be inspected. */
function fail(text) {
  $("failed").prepend(make("li", { textContent: text }));
  $("failed").children[FAILURES]?.remove();
  say(text);
}

function say(text) {
  $("status").textContent = text;
}

// Out

function show(answer, name = answer.name) {
  const address = (name) => `data:image/png;base64,${answer.pictures[name]}`;
  const layers = { original: address("inspected"), reconstruction: address("reconstruction"), levels: address("levels") };
  const image = { ...answer, name: name || "image", layers, small: layers.original, time: new Date() };
  const newest = !state.shown || state.shown === state.cards[0];
  const added = galleryCard(image, state, () => {
    look(added);
    $("result").focus();
    $("result").scrollIntoView({ block: "nearest" });
  });
  updateVerdict(added, state.k);
  state.cards.unshift(added);
  $("gallery").prepend(added.item);
  for (const old of state.cards.splice(REMEMBERED)) old.item.remove();
  $("inspected").hidden = false;
  $("count").textContent = `${state.cards.length} images`;
  if (newest) look(added); // who looks at another one goes on looking
  say(`${image.name}: ${added.nok ? "nok" : "ok"}, score ${image.score.toFixed(4)}`);
}

function look(card) {
  state.shown = card;
  $("result").hidden = false;
  $("name").textContent = card.image.name;
  $("four").replaceChildren(...viewFigures(card.image));
  tell();
}

/** The verdict on the image that is shown, at the limit. */
function tell() {
  if (!state.shown) return;
  const { image, nok } = state.shown;
  $("verdict").textContent = nok ? "nok" : "ok";
  $("verdict").className = `verdict ${nok ? "defective" : "good"}`;
  const found = state.k === DEFAULT_LEVEL ? `, ${image.defects.length} ${image.defects.length === 1 ? "defect" : "defects"}` : "";
  $("told").textContent =
    `score ${image.score.toFixed(4)} at limit ${data.level_thresholds[state.k].toFixed(3)}${found}; ` +
    `${image.width} × ${image.height} px, ${image.detector}, ${image.milliseconds.inspected.toFixed(0)} ms`;
}

function csv() {
  const rows = state.cards.map(({ image, nok }) =>
    [image.time.toISOString(), image.name, image.detector, nok ? "nok" : "ok", image.score, data.level_thresholds[state.k], image.width, image.height]);
  const plain = (cell) => (/^[=+\-@\t\r]/.test(cell) && typeof cell === "string" ? `'${cell}` : cell); // no formula
  const quoted = (cell) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const table = [["time", "image", "detector", "verdict", "score", "limit", "width", "height"], ...rows];
  return table.map((row) => row.map(plain).map(quoted).join(",")).join("\n") + "\n";
}

// The watched folder

async function follow() {
  try {
    for (const { number, result } of (await ask(`/v1/watched?after=${state.watched}`)).slice(-REMEMBERED)) {
      if (result.error) fail(result.error);
      else await showWatched(number, result);
      state.watched = number;
    }
  } catch (error) {
    say(error.message);
  }
  setTimeout(follow, 1000);
}

async function showWatched(number, { name, verdict, score }) {
  try {
    show(await patiently(() => ask(`/v1/watched/${number}`)));
  } catch (error) {
    if (error.status !== 404) throw error;
    fail(`${name}: ${verdict}, score ${score.toFixed(4)}; the file is gone`);
  }
}

// The camera

async function cameraOn() {
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await $("video").play();
    $("live").hidden = false;
    $("camera").hidden = true;
  } catch (error) {
    say(`camera: ${error.message}`);
  }
}

function cameraOff() {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
  $("live").hidden = true;
  $("camera").hidden = false;
}

function take() {
  const video = $("video");
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const name = `camera-${new Date().toISOString().slice(11, 19).replaceAll(":", "")}.png`;
  canvas.toBlob((blob) => send([new File([blob], name, { type: "image/png" })]), "image/png");
}

// All of it

async function introduce() {
  try {
    const detectors = await ask("/v1/detectors");
    $("detector").replaceChildren(...detectors.map(({ name }) => make("option", { textContent: name, value: name })));
    $("which").hidden = detectors.length < 2;
    $("about").textContent = detectors.map(({ name }) => name).join(", ") + (data.watching ? "; watching a folder" : "");
    $("asks").hidden = true;
    if (data.watching && !state.following) follow();
    state.following = true;
  } catch (error) {
    say(error.message);
  }
}

connectThresholdSlider(0, data.level_thresholds.length - 1, (k) => {
  state.k = k;
  for (const card of state.cards) updateVerdict(card, k);
  tell();
  $("sensitivity").textContent = (1 / data.level_thresholds[k]).toPrecision(6);
  $("keep").hidden = k === DEFAULT_LEVEL;
}, () => {
  if (state.shown) say(`${state.shown.image.name}: ${$("verdict").textContent} at limit ${thresholdText(state.k)}`);
});
addViewSelector($("view"), state, state.cards);

$("files").accept = data.accept;
$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  send([...$("files").files]);
  $("files").value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  send([...event.dataTransfer.files]);
});
addEventListener("paste", (event) => send([...event.clipboardData.files]));
$("camera").hidden = !navigator.mediaDevices?.getUserMedia;
$("camera").addEventListener("click", cameraOn);
$("off").addEventListener("click", cameraOff);
$("take").addEventListener("click", take);
$("asks").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  introduce();
});
$("csv").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  make("a", { href: address, download: "inspected.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
});
$("clear").addEventListener("click", () => {
  state.cards.length = 0;
  state.shown = null;
  $("gallery").replaceChildren();
  $("failed").replaceChildren();
  $("inspected").hidden = $("result").hidden = true;
  say("");
});
introduce();

// The inspection page: sends images to the server, shows the results, and applies the threshold of the slider to them.

const MAX_PARALLEL_REQUESTS = 2;
const MAX_HISTORY = 200; // images on the page
const MAX_ERRORS = 20; // lines about images that could not be inspected
const RETRY_MS = 1000; // while the server is busy
const POLL_MS = 1000; // between two requests for images of the watched folder
const REVOKE_MS = 10_000; // until the downloaded CSV is released
const PICTURES = ["inspected", "reconstruction", "levels", "regions"];
const UNKNOWN_VIEW = { size: [1, 1], resized: [1, 1] }; // of a detector that the server no longer has: the whole image

const state = {
  level: DEFAULT_LEVEL, // of the threshold
  view: "mask",
  cards: [], // the history, newest first
  selected: null, // the card whose result is shown
  detectors: new Map(), // the server's descriptions by name
  queue: [], // files to send
  activeRequests: 0,
  batchSize: 0, // files added since the queue was last empty
  batchDone: 0,
  lastWatchedNumber: 0,
  isPolling: false,
};

// Requests

/** Repeat a call until the server has a free queue slot. */
async function retryWhileBusy(call) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (error.status !== 429) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function addToQueue(files) {
  state.queue.push(...files);
  state.batchSize += files.length;
  processQueue();
}

function processQueue() {
  while (state.activeRequests < MAX_PARALLEL_REQUESTS && state.queue.length) {
    state.activeRequests += 1;
    inspectFile(state.queue.shift()).finally(finishRequest);
  }
}

function finishRequest() {
  state.activeRequests -= 1;
  state.batchDone += 1;
  if (state.batchDone < state.batchSize) setStatus(`${state.batchDone} of ${state.batchSize}`);
  else state.batchSize = state.batchDone = 0;
  processQueue();
}

/** Send a file for inspection and return the response with these pictures; `log` false if it was sent before. */
function sendFile(file, detector, pictures, log = true) {
  const form = new FormData();
  form.append("image", file, file.name || "pasted.png");
  const query = new URLSearchParams([["detector", detector], ["log", log], ...pictures.map((name) => ["pictures", name])]);
  return callApi(`/v1/inspect?${query}`, { method: "POST", body: form });
}

async function inspectFile(file) {
  const detector = $("detector").value;
  try {
    const response = await retryWhileBusy(() => sendFile(file, detector, PICTURES));
    addResult(response, file.name, async () =>
      (await fileUrl(file, response)) ?? (await serverUrl(() => sendFile(file, detector, ["image"], false))));
  } catch (error) {
    addError(error.message.startsWith(file.name) ? error.message : `${file.name}: ${error.message}`);
  }
}

// Results

function setStatus(text) {
  $("status").textContent = text;
}

function addError(text) {
  $("errors").prepend(make("li", { textContent: text }));
  $("errors").children[MAX_ERRORS]?.remove();
  setStatus(text);
}

/** Add a response to the history, and show it unless the user has selected an older image. */
function addResult(response, name, loadOriginal) {
  const url = (picture) => response.pictures[picture] ? `data:image/png;base64,${response.pictures[picture]}` : null;
  const layers = { original: url("inspected"), reconstruction: url("reconstruction"), levels: url("levels"), regions: url("regions") };
  const info = state.detectors.get(response.detector);
  const view = info ? { size: info.size, resized: info.working_size } : UNKNOWN_VIEW;
  const image = { ...response, name: name || "image", view, layers, small: layers.original, loadOriginal, time: new Date() };
  const showsNewest = !state.selected || state.selected === state.cards[0];
  const added = galleryCard(image, state, () => {
    select(added);
    $("result").focus();
    $("result").scrollIntoView({ block: "nearest" });
  });
  updateVerdict(added, state.level);
  addToHistory(added);
  if (showsNewest) select(added);
  setStatus(`${image.name}: ${verdictOf(added)}, score ${image.score.toFixed(4)}`);
}

function addToHistory(added) {
  state.cards.unshift(added);
  $("gallery").prepend(added.item);
  for (const old of state.cards.splice(MAX_HISTORY)) old.item.remove();
  updateViews();
  $("history").hidden = false;
  showCounts();
  $("image-count").textContent = counted(state.cards.length, "image");
}

function clearHistory() {
  state.cards.length = 0;
  state.selected = null;
  $("gallery").replaceChildren();
  $("errors").replaceChildren();
  $("history").hidden = $("result").hidden = true;
  setStatus("");
}

function select(selected) {
  state.selected = selected;
  $("result").hidden = false;
  $("result-name").textContent = selected.image.name;
  viewer.show(selected.image);
  showVerdict();
}

function verdictOf({ nok }) {
  return nok ? "nok" : "ok";
}

/** Show the verdict on the selected image at the threshold of the slider. */
function showVerdict() {
  if (!state.selected) return;
  const { image, nok } = state.selected;
  showVerdictBadge($("result-verdict"), nok, false);
  const defects = state.level === DEFAULT_LEVEL ? `, ${counted(image.defects.length, "defect")}` : "";
  $("result-details").textContent =
    `score ${image.score.toFixed(4)}, threshold ${data.level_thresholds[state.level].toFixed(3)}${defects}; ` +
    `${image.width} × ${image.height} px, ${image.detector}, ${image.milliseconds.inspected.toFixed(0)} ms`;
}

function applyThreshold(level) {
  state.level = level;
  for (const shown of state.cards) updateVerdict(shown, level);
  showVerdict();
  showCounts();
  $("sensitivity").textContent = (1 / data.level_thresholds[level]).toPrecision(6);
  $("api-query").hidden = level === DEFAULT_LEVEL;
}

function showCounts() {
  const rejected = state.cards.filter(({ nok }) => nok).length;
  $("bar-effect").textContent = `${rejected} of ${counted(state.cards.length, "image")} nok`;
}

/** Announce the verdict once the slider rests. */
function announceVerdict() {
  if (!state.selected) return;
  const threshold = thresholdText(state.level);
  setStatus(`${state.selected.image.name}: ${verdictOf(state.selected)}, threshold ${threshold}`);
}

// CSV

const CSV_HEADER = ["time", "image", "detector", "verdict", "score", "threshold", "width", "height"];

function csvTable() {
  const threshold = data.level_thresholds[state.level];
  const rows = state.cards.map((shown) => {
    const { time, name, detector, score, width, height } = shown.image;
    return [time.toISOString(), name, detector, verdictOf(shown), score, threshold, width, height];
  });
  return [CSV_HEADER, ...rows].map((row) => row.map(csvCell).join(",")).join("\n") + "\n";
}

/** A quoted cell; a leading ' keeps spreadsheets from evaluating a text as a formula. */
function csvCell(value) {
  const cell = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

function downloadCsv() {
  const url = URL.createObjectURL(new Blob([csvTable()], { type: "text/csv" }));
  make("a", { href: url, download: "inspected.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_MS);
}

// The watched folder

async function pollWatchedFolder() {
  try {
    const images = await callApi(`/v1/watched?after=${state.lastWatchedNumber}`);
    for (const { number, result } of images.slice(-MAX_HISTORY)) {
      if (result.error) addError(result.error);
      else await addWatchedImage(number, result);
      state.lastWatchedNumber = number;
    }
  } catch (error) {
    setStatus(error.message);
  }
  setTimeout(pollWatchedFolder, POLL_MS);
}

async function addWatchedImage(number, { name, verdict, score }) {
  try {
    const path = `/v1/watched/${number}`;
    const response = await retryWhileBusy(() => callApi(path));
    addResult(response, response.name, () => serverUrl(() => callApi(`${path}?pictures=image`)));
  } catch (error) {
    if (error.status !== 404) throw error;
    addError(`${name}: ${verdict}, score ${score.toFixed(4)}; the file was changed or deleted`);
  }
}

// The camera

async function startCamera() {
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await $("video").play();
    $("camera").hidden = false;
    $("start-camera").hidden = true;
  } catch (error) {
    setStatus(`camera: ${error.message}`);
  }
}

function stopCamera() {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
  $("camera").hidden = true;
  $("start-camera").hidden = false;
}

function takePhoto() {
  const video = $("video");
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const name = `camera-${new Date().toISOString().slice(11, 19).replaceAll(":", "")}.png`;
  canvas.toBlob((blob) => addToQueue([new File([blob], name, { type: "image/png" })]), "image/png");
}

// Start

async function loadDetectors() {
  try {
    const infos = await callApi("/v1/detectors");
    const names = infos.map(({ name }) => name);
    state.detectors = new Map(infos.map((info) => [info.name, info]));
    $("detector").replaceChildren(...names.map((name) => make("option", { textContent: name, value: name })));
    $("detector-choice").hidden = names.length < 2;
    $("detector-names").textContent = names.join(", ") + (data.watching ? "; watching a folder" : "");
    $("token-form").hidden = true;
    showDetectorInfo();
    if (data.watching && !state.isPolling) pollWatchedFolder();
    state.isPolling = true;
  } catch (error) {
    setStatus(error.message);
  }
}

/** Show what the chosen detector can find, if that was measured. */
function showDetectorInfo() {
  const detectability = state.detectors.get($("detector").value)?.detectability;
  $("detectability").hidden = !detectability;
  if (detectability) showDetectability($("detectability-content"), detectability);
}

function listenForFiles() {
  const area = $("drop-area");
  $("files").accept = data.accept;
  $("choose-files").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => {
    addToQueue([...$("files").files]);
    $("files").value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  addEventListener("dragleave", () => area.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    addToQueue([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => addToQueue([...event.clipboardData.files]));
}

const viewer = createViewer({ wheelZooms: false });
$("result-viewer").append(viewer.element);
connectThresholdSliders(0, data.level_thresholds.length - 1, applyThreshold, announceVerdict);
const updateViews = addGalleryViewSelector($("view-choice"), state, state.cards);
listenForFiles();
$("start-camera").hidden = !navigator.mediaDevices?.getUserMedia;
$("start-camera").addEventListener("click", startCamera);
$("stop-camera").addEventListener("click", stopCamera);
$("take-photo").addEventListener("click", takePhoto);
listenForToken(loadDetectors);
$("detector").addEventListener("change", showDetectorInfo);
$("download-csv").addEventListener("click", downloadCsv);
$("clear-history").addEventListener("click", clearHistory);
loadDetectors();

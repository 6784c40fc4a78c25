// The editor of regions: polygons drawn on an inspected image, which a file holds for `ssim-ae threshold RUN --regions`.

const SVG = "http://www.w3.org/2000/svg";
const CURSOR_STEP = 0.01; // of the width, per arrow key; ten times as much with Shift
const DOWNLOAD_NAME = "regions.json";

const editor = { image: null, url: null, regions: [], points: [], cursor: null };

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Start to draw on the image whose result is shown. Regions are kept if it has the size of the former image. */
async function startEditing() {
  const image = state.selected?.image;
  if (!image) return setRegionsStatus("Inspect a good image first; regions are drawn on it.");
  if (editor.image && (editor.image.width !== image.width || editor.image.height !== image.height)) editor.regions = [];
  const url = (await image.loadOriginal()) ?? image.layers.original;
  URL.revokeObjectURL(editor.url); // no effect on other URLs
  Object.assign(editor, { image, url, points: [], cursor: { x: image.width / 2, y: image.height / 2 } });
  $("regions-stage").setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
  $("regions-stage").setAttribute("aria-label", `${image.name}: arrow keys move the cross, Enter sets a point, Backspace removes it`);
  $("regions-editor").hidden = false;
  drawRegions();
  setRegionsStatus("Click the corners of a region, then close it.");
}

function setRegionsStatus(text) {
  $("regions-status").textContent = text;
}

function addPoint({ x, y }) {
  const { width, height } = editor.image;
  const inside = (value, length) => Math.round(10 * Math.min(Math.max(value, 0), length)) / 10;
  editor.points.push([inside(x, width), inside(y, height)]);
  drawRegions();
  setRegionsStatus(counted(editor.points.length, "point"));
}

function closeRegion() {
  if (editor.points.length < 3) return setRegionsStatus("A region has at least 3 points.");
  editor.regions.push({ name: `region ${editor.regions.length + 1}`, sensitivity: 0, polygon: editor.points });
  editor.points = [];
  drawRegions();
  listRegions();
  setRegionsStatus(`${editor.regions.at(-1).name} is ignored; change its sensitivity below.`);
}

function removePoint() {
  editor.points.pop();
  drawRegions();
  setRegionsStatus(counted(editor.points.length, "point"));
}

function drawRegions() {
  const { image, cursor, points, regions } = editor;
  const radius = image.width / 150;
  const kind = ({ sensitivity }) => (sensitivity === 0 ? "ignored" : "sensitive");
  $("regions-stage").replaceChildren(
    svg("image", { href: editor.url, width: image.width, height: image.height, preserveAspectRatio: "none" }),
    ...regions.map((region) => svg("polygon", { points: region.polygon.join(" "), class: kind(region) })),
    svg("polyline", { points: points.join(" "), class: "open" }),
    ...points.map(([x, y]) => svg("circle", { cx: x, cy: y, r: radius })),
    svg("path", { d: `M${cursor.x - 3 * radius} ${cursor.y}h${6 * radius}M${cursor.x} ${cursor.y - 3 * radius}v${6 * radius}`, class: "cursor" }),
  );
}

/** List the regions, each with its name, its sensitivity and a button that deletes it. */
function listRegions() {
  $("regions-list").replaceChildren(...editor.regions.map((region, index) => {
    const name = make("input", { type: "text", value: region.name, maxLength: 100, ariaLabel: `Name of region ${index + 1}` });
    name.addEventListener("input", () => (region.name = name.value));
    const sensitivity = make("input", {
      type: "number", value: region.sensitivity, min: 0, max: 10, step: "any", ariaLabel: `Sensitivity of region ${index + 1}`,
    });
    sensitivity.addEventListener("change", () => {
      region.sensitivity = Math.min(Math.max(Number(sensitivity.value) || 0, 0), 10);
      sensitivity.value = region.sensitivity;
      drawRegions();
    });
    const remove = make("button", { type: "button", textContent: "Delete", ariaLabel: `Delete region ${index + 1}` });
    remove.addEventListener("click", () => {
      editor.regions.splice(index, 1);
      drawRegions();
      listRegions();
      $("regions-stage").focus();
    });
    return make("li", { className: "controls" }, make("label", {}, "Name ", name), make("label", {}, "Sensitivity ", sensitivity), remove);
  }));
  $("regions-download").disabled = !editor.regions.length;
}

function regionsFile() {
  const { image, regions } = editor;
  return JSON.stringify({ width: image.width, height: image.height, image: image.name, regions }, null, 1);
}

function downloadRegions() {
  const url = URL.createObjectURL(new Blob([regionsFile()], { type: "application/json" }));
  make("a", { href: url, download: DOWNLOAD_NAME }).click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_MS);
}

function pointOfEvent(event) {
  const matrix = $("regions-stage").getScreenCTM().inverse();
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
}

function onEditorKey(event) {
  if (!editor.image || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = editor.image.width * CURSOR_STEP * (event.shiftKey ? 10 : 1);
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (event.key in moves) {
    const [x, y] = moves[event.key];
    editor.cursor.x = Math.min(Math.max(editor.cursor.x + x, 0), editor.image.width);
    editor.cursor.y = Math.min(Math.max(editor.cursor.y + y, 0), editor.image.height);
    drawRegions();
  } else if (event.key === "Enter") addPoint(editor.cursor);
  else if (event.key === "Backspace") removePoint();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

$("regions-start").addEventListener("click", startEditing);
$("regions-close").addEventListener("click", closeRegion);
$("regions-undo").addEventListener("click", removePoint);
$("regions-download").addEventListener("click", downloadRegions);
$("regions-stage").addEventListener("click", (event) => addPoint(pointOfEvent(event)));
$("regions-stage").addEventListener("keydown", onEditorKey);

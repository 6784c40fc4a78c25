// A box on the image that is shown, drawn with the mouse or a finger: where the defect is.

const MIN_SIDE = 4; // px of the screen: a smaller box is a click

const marking = {
  entry: null,
  box: null, // in px of the image: {x, y, width, height}
  isOn: false, // whether the pointer draws
  from: null, // where it started, in px of the image
};

function startMarking(entry) {
  Object.assign(marking, { entry, box: null, from: null });
  setMarking(false);
  $("mark").disabled = !entry.image_file;
}

function setMarking(isOn) {
  marking.isOn = isOn;
  $("mark").setAttribute("aria-pressed", isOn);
  $("entry-image").classList.toggle("marking", isOn);
}

function toggleMarking() {
  if (!$("mark").disabled && marking.entry) setMarking(!marking.isOn);
}

function dropMark() {
  mark(null);
  setMarking(false);
}

function mark(box) {
  marking.box = box;
  showMark();
}

function showMark() {
  $("entry-image").querySelector(".mark")?.remove();
  if (!marking.box || !$("entry-image").querySelector("img")) return;
  const shown = outline(marking.box, marking.entry);
  shown.className = "mark";
  $("entry-image").append(shown);
}

/** Return where a pointer is, in px of the image, within it. */
function pointOf(event) {
  const frame = $("entry-image").getBoundingClientRect();
  const { width, height } = marking.entry;
  const within = (share, length) => Math.round(Math.min(1, Math.max(0, share)) * length);
  return {
    x: within((event.clientX - frame.left) / frame.width, width),
    y: within((event.clientY - frame.top) / frame.height, height),
    scale: width / frame.width,
  };
}

function boxBetween(from, to) {
  return { x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), width: Math.abs(to.x - from.x), height: Math.abs(to.y - from.y) };
}

function listenForMarks() {
  const stage = $("entry-image");
  $("mark").addEventListener("click", toggleMarking);
  stage.addEventListener("pointerdown", (event) => {
    if (!marking.isOn) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    marking.from = pointOf(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!marking.from) return;
    const to = pointOf(event);
    const box = boxBetween(marking.from, to);
    mark(Math.min(box.width, box.height) >= Math.max(1, MIN_SIDE * to.scale) ? box : null);
  });
  stage.addEventListener("pointerup", () => {
    if (!marking.from) return;
    marking.from = null;
    setMarking(false);
  });
}

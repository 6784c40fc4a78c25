// The page Live: the pictures of each source, with the outlines of its latest result. Requests are made one after the
// other, each for a newer picture, and only while the picture is in sight: there is no backlog, and no traffic unseen.

const RETRY_MS = 1000;
const STATES = { connecting: "connecting", connected: "connected", away: "away; tried again until it answers", ended: "the video has ended" };

const views = new Map(); // {size, resized} of each detector, by name

function setStatus(text) {
  $("status").textContent = text;
}

/** Create the panel of a source, and keep it up to date. */
function showSource(source) {
  const path = `/v1/sources/${encodeURIComponent(source.name)}`;
  const picture = make("img", { className: "picture", hidden: true, alt: `Live picture of ${source.name}` });
  const outlines = make("img", { className: "outlines", alt: "" });
  const stage = make("div", { className: "live" }, picture, outlines);
  const verdict = make("strong");
  const details = make("p", { className: "muted" });
  const state = make("span", { className: "muted" });
  const inspect = make("button", { type: "button", textContent: "Inspect now" });
  const empty = make("button", { type: "button", textContent: "No part there", hidden: source.trigger !== "still" });
  const panel = make("section", { className: "panel result" },
    make("div", { className: "title-bar" }, make("div", {}, make("h2", { textContent: source.name }), state), verdict),
    stage, details, make("div", { className: "controls" }, inspect, empty));
  panel.setAttribute("aria-label", source.name);
  let shown = 0; // number of the picture
  let described = {}; // the state and the number of the result that the panel shows

  function describe({ state: name, trigger, results, result: latest }) {
    described = { state: name, result: results };
    panel.dataset.state = name;
    inspect.disabled = name !== "connected";
    state.textContent = `${STATES[name]}; trigger ${trigger}; ${results} inspected`;
    const view = views.get(latest?.detector);
    outlines.hidden = !latest?.pictures?.levels || !view;
    verdict.hidden = !latest || "error" in latest;
    details.textContent = latest?.error ?? "";
    if (!latest || "error" in latest) return;
    showVerdictBadge(verdict, latest.verdict === "nok", false);
    details.textContent = `score ${latest.score.toFixed(4)}, threshold ${latest.threshold.toFixed(3)}, ` +
      `${counted(latest.defects.length, "defect")}; ${latest.milliseconds.inspected.toFixed(0)} ms`;
    if (outlines.hidden) return;
    const box = inspectedBox({ width: 100, height: 100, view });
    outlines.src = `data:image/png;base64,${latest.pictures.levels}`;
    Object.assign(outlines.style, { left: `${box.x}%`, top: `${box.y}%`, width: `${box.width}%`, height: `${box.height}%` });
  }

  async function showNewerPicture() {
    const response = await fetchApi(`${path}/picture?after=${shown}`);
    if (response.status === 200) {
      const former = picture.src;
      shown = Number(response.headers.get("X-Picture"));
      picture.src = URL.createObjectURL(await response.blob());
      await picture.decode().catch(() => {});
      picture.hidden = false;
      URL.revokeObjectURL(former);
    }
    const [state, result] = ["X-State", "X-Result"].map((header) => response.headers.get(header));
    if (state !== described.state || Number(result) !== described.result) describe(await callApi(path));
    setStatus("");
  }

  async function follow() {
    for (;;) {
      await inSight(stage);
      try {
        await showNewerPicture();
      } catch (error) {
        setStatus(error.message);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async function post(action) {
    try {
      await fetchApi(`${path}/${action}`, { method: "POST" });
      describe(await callApi(path));
    } catch (error) {
      details.textContent = error.message;
    }
  }

  inspect.addEventListener("click", () => post("trigger"));
  empty.addEventListener("click", () => post("empty"));
  describe(source);
  $("sources").append(panel);
  follow();
}

/** Wait until an element is in the window, and the window is shown. */
function inSight(element) {
  return new Promise((resolve) => {
    const observer = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      observer.disconnect();
      if (!document.hidden) return resolve();
      document.addEventListener("visibilitychange", () => resolve(inSight(element)), { once: true });
    });
    observer.observe(element);
  });
}

async function start() {
  try {
    for (const { name, size, working_size: resized } of await callApi("/v1/detectors")) views.set(name, { size, resized });
    const sources = await callApi("/v1/sources");
    $("token-form").hidden = true;
    setStatus("");
    if (!$("sources").children.length) for (const source of sources) showSource(source);
  } catch (error) {
    setStatus(error.message);
  }
}

updateFilters(DEFAULT_LEVEL);
listenForToken(start);
start();

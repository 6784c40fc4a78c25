"use strict";

// The data of the page, and pictures in layers. A picture of levels says, pixel by pixel, how many of `limits` the
// anomaly map exceeds; SVG filters turn it into heatmap or outline at any of them. (Scripts on a page from the disk may
// show pictures, but not read them.)

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const OWN_LIMIT = data.limits.indexOf(1);
const VIEWS = { original: "original", reconstruction: "reconstruction", heat: "heatmap", found: "found" };

/** Draw all heatmaps and outlines of the page at limit number k. */
function drawAtLimit(k) {
  const codes = [...Array(256).keys()];
  const ramp = codes.map((code) => {
    const value = code ? data.limits[Math.min(code, data.limits.length) - 1] / data.limits[k] : 0;
    return Math.min(255, Math.floor(value * 127.5)); // the limit lies at half the ramp
  });
  const tables = {
    red: ramp.map((at) => data.ramp[at][0]),
    green: ramp.map((at) => data.ramp[at][1]),
    blue: ramp.map((at) => data.ramp[at][2]),
    opacity: ramp.map((at) => (0.25 + (0.55 * at) / 255).toFixed(4)),
    mask: codes.map((code) => (code > k ? 1 : 0)),
  };
  for (const [name, table] of Object.entries(tables)) {
    for (const element of document.querySelectorAll(`[data-table=${name}]`)) {
      element.setAttribute("tableValues", table.join(" "));
    }
  }
}

/** A picture of layers {original, reconstruction, levels}, each an address; shows what `view` says. */
function picture(layers, view, description) {
  const frame = make("div", { className: "picture", ...(description ? { role: "img", ariaLabel: description } : {}) });
  frame.dataset.view = view;
  for (const [layer, address] of Object.entries(layers)) {
    frame.append(make("img", { className: layer, loading: "lazy", decoding: "async", alt: "", src: address }));
  }
  return frame;
}

/** An element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The limit's slider, its text and the way back: calls `moved(k)`, also at the start, and `rested(k)` once it rests. */
function limitSlider(low, high, moved, rested) {
  const slider = Object.assign($("limit"), { min: low, max: high, value: OWN_LIMIT });
  let resting;
  const move = () => {
    const k = Number(slider.value);
    slider.setAttribute("aria-valuetext", `limit ${limitText(k)}`);
    $("at").textContent = `limit ${limitText(k)}`;
    $("back").hidden = k === OWN_LIMIT;
    drawAtLimit(k);
    moved(k);
    clearTimeout(resting);
    resting = setTimeout(() => rested(k), 400);
  };
  slider.addEventListener("input", move);
  $("back").addEventListener("click", () => {
    slider.value = OWN_LIMIT;
    move();
  });
  move();
}

function limitText(k) {
  return k === OWN_LIMIT ? "1, its own" : data.limits[k].toFixed(3);
}

/** Where a score lies among the limits, as a number that need not be whole. */
function levelOf(score) {
  return OWN_LIMIT + data.steps * Math.log2(Math.max(score, 1e-9));
}

function percent(share) {
  return share === null || Number.isNaN(share) ? "–" : (100 * share).toFixed(1);
}

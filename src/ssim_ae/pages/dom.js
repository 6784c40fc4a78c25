"use strict";

// The data of the page, and helpers to create elements.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);

/** Create an element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Return a text as HTML. */
function escaped(text) {
  return make("i", { textContent: text }).innerHTML;
}

/** Format a share as a percentage; a dash if it is missing. */
function percent(share) {
  return share === null || Number.isNaN(share) ? "–" : (100 * share).toFixed(1);
}

/** Return a count with its noun: 1 image, 2 images. */
function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

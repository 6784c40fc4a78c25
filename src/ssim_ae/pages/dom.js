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

/** Format a share as a percentage; a dash if it is missing. */
function percent(share) {
  return share === null || Number.isNaN(share) ? "–" : (100 * share).toFixed(1);
}

"use strict";
// The filter: by text, and by how a bake ended. The part after `#` of the address sets the text, so that a filtered page can be linked.
const bakes = [...document.querySelectorAll(".bake")];
const texts = bakes.map((bake) => bake.textContent.toLowerCase());
const input = document.getElementById("filter");
const buttons = [...document.querySelectorAll("nav button")];
let state = "";

function show() {
  const wanted = input.value.trim().toLowerCase();
  let count = 0;
  bakes.forEach((bake, index) => {
    bake.hidden = !texts[index].includes(wanted) || (state !== "" && bake.dataset.state !== state);
    count += bake.hidden ? 0 : 1;
  });
  buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.state === state)));
  document.getElementById("shown").textContent = count === bakes.length ? "" : `${count} of ${bakes.length} shown`;
}

buttons.forEach((button) => button.addEventListener("click", () => {
  state = button.dataset.state;
  show();
}));
input.addEventListener("input", show);
try {
  input.value = decodeURIComponent(location.hash.slice(1));
} catch {
  // No text that this page has made.
}
show();

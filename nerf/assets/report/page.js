"use strict";

// An image that several sliders show is in the file once.
for (const image of document.querySelectorAll("img[data-same]")) {
  image.src = document.getElementById(image.dataset.same).src;
}

// The handle over two images. Within one `.together`, all handles move as one.
for (const range of document.querySelectorAll(".pair input")) {
  range.addEventListener("input", () => {
    const group = range.closest(".together");
    const moved = group ? group.querySelectorAll(".pair input") : [range];
    for (const each of moved) {
      each.value = range.value;
      each.parentElement.style.setProperty("--at", range.value + "%");
    }
  });
}

// A click on the heading of a column sorts the table, a second one the other way round. Cells
// without a value stay last.
function sort(table, column, descending) {
  const key = (row) => row.cells[column].dataset.sort ?? "";
  const isNumber = (text) => text !== "" && Number.isFinite(Number(text));
  const rows = [...table.tBodies[0].rows];
  const known = rows.filter((row) => key(row) !== "");
  const allNumbers = known.every((row) => isNumber(key(row)));
  const order = (a, b) =>
    allNumbers
      ? Number(key(a)) - Number(key(b))
      : key(a).localeCompare(key(b), undefined, { numeric: true });
  known.sort((a, b) => (descending ? order(b, a) : order(a, b)));
  table.tBodies[0].append(...known, ...rows.filter((row) => key(row) === ""));
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const table = heading.closest("table");
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sort(table, heading.cellIndex, descending);
  });
}

// The chooser of a view shows one of the choices of its group.
for (const chooser of document.querySelectorAll(".chooser")) {
  const select = chooser.querySelector("select");
  const choices = [...chooser.parentElement.querySelectorAll(".choice")];
  const show = () => choices.forEach((each, n) => (each.hidden = n !== select.selectedIndex));
  const step = (by) => {
    select.selectedIndex = (select.selectedIndex + by + choices.length) % choices.length;
    show();
  };
  select.addEventListener("change", show);
  for (const button of chooser.querySelectorAll("button")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  show();
}

// All settings are printed, also where they are folded on the screen.
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

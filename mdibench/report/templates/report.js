"use strict";
// Click on a heading: sort the table by that column, numbers by their value.
function sortBy(heading) {
  const body = heading.closest("table").tBodies[0];
  const at = Number(heading.dataset.at);
  const down = heading.getAttribute("aria-sort") === "ascending";
  const key = (row) => {
    const cell = row.cells[at];
    const order = cell.dataset.order;
    return order === undefined ? cell.textContent.trim() : Number(order);
  };
  const absent = (row) => row.cells[at].classList.contains("absent");
  const compare = (a, b) => {
    if (absent(a) || absent(b)) return absent(a) - absent(b);
    const [x, y] = [key(a), key(b)];
    const found = typeof x === "number" && typeof y === "number"
      ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return down ? -found : found;
  };
  [...body.rows].sort(compare).forEach((row) => body.append(row));
  heading.closest("tr").querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
// The value under the pointer, or under the finger.
const tip = document.getElementById("tip");
for (const title of document.querySelectorAll("svg.figure g > title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.parentNode.setAttribute("aria-label", title.textContent);
  title.remove();
}
function show(event) {
  const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.dataset.tip;
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, room))}px`;
  tip.style.top = `${event.clientY + 18}px`;
}
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
document.addEventListener("scroll", () => { tip.hidden = true; }, true);
// Say which tables go on beyond the edge, until their end is in sight.
function mark(box) {
  box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
}
function markAll() { document.querySelectorAll(".scroll").forEach(mark); }
for (const box of document.querySelectorAll(".scroll")) {
  box.addEventListener("scroll", () => mark(box));
}
document.addEventListener("toggle", markAll, true);
window.addEventListener("resize", markAll);
markAll();
// Print all, the folded parts too.
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((part) => { part.open = true; });
});
window.addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));

"use strict";

// Sort a table by the column whose head is pressed: numbers high to low first, texts A to Z; again turns it round.
const collator = new Intl.Collator("en", { numeric: true });

function sortBy(head) {
  const table = head.closest("table");
  const heads = [...head.parentElement.children];
  const column = heads.indexOf(head);
  const numeric = head.classList.contains("number");
  const before = head.getAttribute("aria-sort");
  const upwards = before === "none" ? !numeric : before === "descending";
  const sign = upwards ? 1 : -1;
  const key = (row) => (numeric ? row.cells[column].dataset.value : row.cells[column].textContent);
  const missing = (value) => value === "" || value === "-";
  const body = table.tBodies[0];
  const rows = [...body.rows];
  rows.sort((first, second) => {
    const [a, b] = [key(first), key(second)];
    if (missing(a) || missing(b)) return missing(a) - missing(b); // always last
    return sign * (numeric ? Number(a) - Number(b) : collator.compare(a, b));
  });
  body.append(...rows);
  heads.forEach((each) => each.hasAttribute("aria-sort") && each.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("th[aria-sort]");
  if (head) sortBy(head);
});

// A chart as a file of its own: with its colours written out, those of the light page.
const DRAWN = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linejoin",
  "paint-order", "font-family", "font-size", "font-weight",
];

function standalone(chart) {
  const copy = chart.cloneNode(true);
  const parts = (root) => [root, ...root.querySelectorAll("*")];
  const targets = parts(copy);
  document.documentElement.classList.add("light");
  parts(chart).forEach((part, place) => {
    const style = getComputedStyle(part);
    targets[place].removeAttribute("class");
    if (part.tagName === "title") return;
    DRAWN.forEach((name) => targets[place].setAttribute(name, style.getPropertyValue(name)));
  });
  document.documentElement.classList.remove("light");
  const { width, height } = chart.viewBox.baseVal;
  Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height }).forEach((each) => copy.setAttribute(...each));
  return new XMLSerializer().serializeToString(copy);
}

function nameOf(figure) {
  const inside = figure.closest("details") || figure.closest("section");
  const group = figure.closest(".plots");
  const words = [inside.querySelector("h2, h3"), group && group.previousElementSibling];
  const name = [...words.map((each) => (each ? each.textContent : "")), figure.dataset.title].filter(Boolean).join(" ");
  return `${name.replace(/[^\p{L}\p{N}.=]+/gu, "-").replace(/^[-.]+|-+$/g, "").slice(0, 120)}.svg`;
}

function save(figure) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([standalone(figure.querySelector(".chart"))], { type: "image/svg+xml" }));
  link.download = nameOf(figure);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

document.querySelectorAll(".save").forEach((button) => { button.hidden = false; });
document.addEventListener("click", (event) => {
  const button = event.target.closest(".save");
  if (button) save(button.closest("figure"));
});

// A link to a closed class opens it.
function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", openTarget);
openTarget();

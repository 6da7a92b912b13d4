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

const outlines = document.getElementById("outlines");
const showOutlines = () => document.body.classList.toggle("plain", !outlines.checked);
outlines.addEventListener("change", showOutlines);
showOutlines();

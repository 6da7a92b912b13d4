
// Filters: a row has the tokens of its facets. The choice stands in the address, so that it can be sent and kept.
const box = document.querySelector(".filters");
const form = box && box.querySelector("form");

function chosen() {
  return [...form.querySelectorAll("select")].map((each) => each.value).filter(Boolean);
}

function apply() {
  const tokens = chosen();
  const name = form.elements.name.value.trim().toLowerCase();
  let shown = 0;
  const rows = document.querySelectorAll("tr[data-facets]");
  rows.forEach((row) => {
    const own = row.dataset.facets.split(" ");
    const fits = tokens.every((each) => own.includes(each)) && (!name || row.textContent.toLowerCase().includes(name));
    row.hidden = !fits;
    shown += fits;
  });
  document.querySelectorAll(".board").forEach((board) => {
    board.hidden = !board.querySelector("tr[data-facets]:not([hidden])");
    document.querySelectorAll(`a[href="#${board.id}"]`).forEach((link) => { link.hidden = board.hidden; });
  });
  const all = shown === rows.length;
  box.querySelector("output").textContent = all ? `${shown} ${form.getAttribute("data-what")}`
    : `${shown} of ${rows.length} ${form.getAttribute("data-what")}; ranks, means and charts are those of all`;
}

function remember() {
  const words = new URLSearchParams();
  form.querySelectorAll("select").forEach((each) => {
    if (each.value) words.set(each.name, each.selectedOptions[0].textContent);
  });
  if (form.elements.name.value) words.set("name", form.elements.name.value);
  try {
    history.replaceState(null, "", `${location.pathname}${String(words) && `?${words}`}${location.hash}`);
  } catch { /* some browsers keep the address of a file as it is */ }
}

if (form) {
  const words = new URLSearchParams(location.search);
  form.querySelectorAll("select").forEach((each) => {
    const option = [...each.options].find((one) => one.value && one.textContent === words.get(each.name));
    if (option) option.selected = true;
  });
  form.elements.name.value = words.get("name") || "";
  box.hidden = false;
  box.open = innerWidth > 700 || chosen().length > 0;
  form.addEventListener("input", () => { apply(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
  apply();
}

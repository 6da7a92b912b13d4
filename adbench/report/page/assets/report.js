
// The switch for the lines around defects.
const outlines = document.getElementById("outlines");
const showOutlines = () => document.body.classList.toggle("plain", !outlines.checked);
outlines.addEventListener("change", showOutlines);
showOutlines();
